#include "vfs/arena_memory.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <span>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "vfs/twice.h"

namespace netfs::vfs {

// Plain: it lies in memory that another build may have written.
struct ArenaMemory::Header {
  static constexpr uint64_t kMagic = 0x6172656e61736673;  // "sfsanera" in memory
  // Who changes it changes the layout, too: by that a program knows whether it can take over.
  static constexpr uint32_t kVersion = 2;

  uint64_t magic;
  uint32_t version;
  uint32_t layout;
  uint64_t chunks;  // how many, and a checksum of their kinds: one store, by which a chunk counts
  Twice additions;  // those that whoever wrote here last knew: ArenaForm
  uint64_t reserved[4];
  uint8_t kinds[kChunksMax];
};

namespace {

constexpr size_t kHeaderBytes = size_t{128} << 10;

uint64_t with_checksum(uint32_t count, uint32_t crc) {
  return uint64_t{crc} << 32 | count;
}

uint32_t crc_of(std::span<const uint8_t> kinds, uint32_t before = 0) {
  return crc32c(std::as_bytes(kinds), before);
}

constexpr size_t bytes_of(size_t chunks) {
  return kHeaderBytes + chunks * ArenaMemory::kChunkBytes;
}

}  // namespace

Result<void> ArenaMemory::map_header() {
  static_assert(sizeof(Header) <= kHeaderBytes);
  void* mapped = ::mmap(nullptr, kHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (mapped == MAP_FAILED) return Error::from_errno("vfs.arena");
  header_ = static_cast<Header*>(mapped);
  return {};
}

Result<void*> ArenaMemory::map_chunk(size_t index) {
  void* mapped = ::mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(),
                        static_cast<off_t>(bytes_of(index)));
  if (mapped == MAP_FAILED) return Error::from_errno("vfs.arena");
  return mapped;
}

Result<Ref<ArenaMemory>> ArenaMemory::create(const ArenaForm& form) {
  UniqueFd fd(::memfd_create("netfs-arena", MFD_CLOEXEC));
  if (!fd) return Error::from_errno("vfs.arena");
  if (::ftruncate(fd.get(), static_cast<off_t>(kHeaderBytes)) != 0) {
    return Error::from_errno("vfs.arena");
  }
  Ref<ArenaMemory> memory(new ArenaMemory(std::move(fd)));
  TRY(memory->map_header());
  memory->header_->version = Header::kVersion;
  memory->header_->layout = form.layout;
  memory->take_form(form);
  memory->header_->magic = Header::kMagic;
  return memory;
}

Result<Ref<ArenaMemory>> ArenaMemory::adopt(UniqueFd fd, const ArenaForm& form) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return Error::from_errno("vfs.arena");
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size < kHeaderBytes) return Error(EPROTO, "vfs.arena", "it is cut short");
  Ref<ArenaMemory> memory(new ArenaMemory(std::move(fd)));
  TRY(memory->map_header());
  const Header& header = *memory->header_;
  if (header.magic != Header::kMagic) return Error(EPROTO, "vfs.arena", "it is no arena");
  if (header.version != Header::kVersion || header.layout != form.layout) {
    return Error(EPROTO, "vfs.arena", "it is of another version of netfs");
  }
  const auto count = static_cast<uint32_t>(header.chunks);
  const bool whole =
      count <= kChunksMax && header.additions.get() &&
      header.chunks == with_checksum(count, crc_of(std::span(header.kinds).first(count)));
  if (!whole) return Error(EPROTO, "vfs.arena", "it is damaged");
  if (size < bytes_of(count)) return Error(EPROTO, "vfs.arena", "it is cut short");
  {
    sync::MutexLock lock(memory->mutex_);
    for (uint32_t i = 0; i < count; ++i) {
      memory->chunks_.push_back(TRY(memory->map_chunk(i)));
    }
  }
  memory->take_form(form);
  memory->adopted_ = true;
  return memory;
}

// What stands in an addition is old where somebody has served since who did not know it.
void ArenaMemory::take_form(const ArenaForm& form) {
  NETFS_ASSERT(form.additions() <= ArenaForm::kAdditionsMax);
  const uint32_t known = header_->additions.get().value_or(0);
  for (uint32_t i = 0; i < form.additions(); ++i) {
    const std::vector<void*> there = chunks(form.added[i]);
    if (there.empty()) (void)add_chunk(form.added[i]);
    if (i < known) continue;
    for (void* chunk : there) std::memset(chunk, 0, kChunkBytes);
  }
  std::atomic_signal_fence(std::memory_order_release);
  header_->additions.set(form.additions());
}

ArenaMemory::~ArenaMemory() {
  sync::MutexLock lock(mutex_);
  for (void* chunk : chunks_) ::munmap(chunk, kChunkBytes);
  if (header_ != nullptr) ::munmap(header_, kHeaderBytes);
}

void* ArenaMemory::add_chunk(uint8_t kind) {
  NETFS_ASSERT(kind != kNoKind);
  sync::MutexLock lock(mutex_);
  const size_t index = chunks_.size();
  NETFS_ASSERT(index < kChunksMax);
  NETFS_ASSERT(::ftruncate(fd_.get(), static_cast<off_t>(bytes_of(index + 1))) == 0);
  const Result<void*> mapped = map_chunk(index);
  NETFS_ASSERT(mapped.ok());
  chunks_.push_back(mapped.value());
  header_->kinds[index] = kind;
  std::atomic_signal_fence(std::memory_order_release);
  const auto before = static_cast<uint32_t>(header_->chunks >> 32);
  header_->chunks = with_checksum(static_cast<uint32_t>(index + 1),
                                  crc_of(std::span(&header_->kinds[index], 1), before));
  return mapped.value();
}

std::vector<void*> ArenaMemory::chunks(uint8_t kind) const {
  std::vector<void*> found;
  sync::MutexLock lock(mutex_);
  for (size_t i = 0; i < chunks_.size(); ++i) {
    if (header_->kinds[i] == kind) found.push_back(chunks_[i]);
  }
  return found;
}

uint64_t ArenaMemory::size_bytes() const {
  sync::MutexLock lock(mutex_);
  return bytes_of(chunks_.size());
}

}  // namespace netfs::vfs
