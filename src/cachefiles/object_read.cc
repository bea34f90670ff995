// The reader's door of an object: it writes nothing and waits for no writer.

#include <array>

#include "base/crc32c.h"
#include "cachefiles/object.h"
#include "cachefiles/store.h"

namespace netfs::cachefiles {

namespace {

// The bytes of one read as they lie in the file's pages: some before the range in its first page,
// the range itself, some after it in its last page.
struct Pages {
  std::array<std::byte, kPageBytes> before;
  std::array<std::byte, kPageBytes> after;
  size_t before_bytes = 0;
  size_t after_bytes = 0;
  std::span<std::byte> to;

  // Only those that have bytes: the kernel reads fastest into one.
  [[nodiscard]] std::span<const iovec> pieces(std::array<iovec, 3>& room) {
    size_t count = 0;
    if (before_bytes > 0) room[count++] = {before.data(), before_bytes};
    room[count++] = {to.data(), to.size()};
    if (after_bytes > 0) room[count++] = {after.data(), after_bytes};
    return std::span(room).first(count);
  }
  [[nodiscard]] size_t total_bytes() const { return before_bytes + to.size() + after_bytes; }

  // The checksum of `length` bytes from `offset` on, counted from the first byte read.
  [[nodiscard]] uint32_t crc(size_t offset, size_t length) const {
    uint32_t sum = 0;
    const std::span<const std::byte> parts[] = {std::span(before).first(before_bytes), to,
                                                std::span(after).first(after_bytes)};
    for (std::span<const std::byte> part : parts) {
      if (offset >= part.size()) {
        offset -= part.size();
        continue;
      }
      const std::span<const std::byte> piece =
          part.subspan(offset, std::min(length, part.size() - offset));
      sum = crc32c(piece, sum);
      length -= piece.size();
      offset = 0;
      if (length == 0) break;
    }
    return sum;
  }
};

}  // namespace

Result<void> Object::read(uint64_t offset_bytes, std::span<std::byte> to, Waiting waiting) {
  const ByteRange range{offset_bytes, to.size()};
  if (state() == ObjectState::kDead) return Error(ESTALE, "cachefiles.read");
  if (offset_bytes > key_.size_bytes || to.size() > key_.size_bytes - offset_bytes) {
    return Error(EINVAL, "cachefiles.read");
  }
  if (range.empty()) return {};
  const uint64_t first = offset_bytes / kBlockBytes;
  const uint64_t count = (range.end_bytes() - 1) / kBlockBytes - first + 1;
  if (!map_.present(first) || (count > 1 && map_.run_length(first, count) < count)) {
    return Error(ENODATA, "cachefiles.read");
  }
  Result<Ref<OpenFile>> file = store_.files().reader(id_, waiting);
  if (file.is_error(EAGAIN)) return file.error();
  if (!file.ok()) return failed_read(file.error());
  // Chunk by chunk: one read of the disk and one set of checksums each.
  for (uint64_t at = offset_bytes; at < range.end_bytes();) {
    const uint64_t end = std::min(round_down(at, kChunkBytes) + kChunkBytes, range.end_bytes());
    TRY(read_piece(*file.value(), {at, end - at}, to.subspan(at - offset_bytes, end - at),
                   waiting));
    at = end;
  }
  // Whoever invalidated it meanwhile must not see these bytes served after that.
  if (state() == ObjectState::kDead) return Error(ESTALE, "cachefiles.read");
  return {};
}

Result<void> Object::read_piece(OpenFile& file, ByteRange range, std::span<std::byte> to,
                                Waiting waiting) {
  const uint64_t chunk_number = range.offset_bytes / kChunkBytes;
  const Ref<CrcChunk> chunk = TRY(chunk_for_read(chunk_number, waiting));
  Pages pages;
  pages.to = to;
  const uint64_t begin = round_down(range.offset_bytes, kPageBytes);
  const uint64_t end = std::min(round_up(range.end_bytes(), kPageBytes), key_.size_bytes);
  pages.before_bytes = range.offset_bytes - begin;
  pages.after_bytes = end - range.end_bytes();
  std::array<iovec, 3> room;
  const Result<size_t> got = file.disk_file().read(begin, pages.pieces(room), waiting);
  if (got.is_error(EAGAIN)) return got.error();
  if (!got.ok()) return failed_read(got.error());
  // A file that somebody has cut short lacks the pages from there on.
  const uint64_t good_end = begin + got.value();
  for (uint64_t at = begin; at < end; at += kPageBytes) {
    const uint64_t page_end = std::min(at + kPageBytes, end);
    const uint64_t in_chunk = at - chunk_number * kChunkBytes;
    const bool sound = page_end <= good_end && chunk->known(in_chunk / kBlockBytes) &&
                       pages.crc(at - begin, page_end - at) == chunk->crc(in_chunk / kPageBytes);
    if (!sound) return drop_block(at / kBlockBytes);
  }
  return {};
}

Result<Ref<CrcChunk>> Object::chunk_for_read(uint64_t chunk, Waiting waiting) {
  {
    sync::MutexLock lock(mutex_);
    const auto found = chunks_.find(chunk);
    if (found != chunks_.end()) return found->second;
  }
  if (waiting == Waiting::kNever) return Error(EAGAIN, "cachefiles.read");
  return load_chunk(chunk);
}

// Loads a chunk's checksums; one that is damaged is empty, so that its blocks are dropped.
Result<Ref<CrcChunk>> Object::load_chunk(uint64_t chunk) {
  const std::string key = checksums_key(id_, static_cast<uint32_t>(chunk));
  const Result<std::optional<std::string>> value = store_.index().get(key);
  if (!value.ok()) {
    store_.index_failed(value.error());
    return value.error();
  }
  Ref<CrcChunk> loaded;
  if (value.value()) {
    const std::optional<ChecksumsRecord> record = decode_checksums(key, *value.value());
    if (record) loaded = CrcChunk::from_record(*record, map_.pages_of_chunk(chunk));
  }
  if (!loaded) loaded = make_ref<CrcChunk>(map_.pages_of_chunk(chunk));
  sync::MutexLock lock(mutex_);
  trim_chunks_locked();
  return chunks_.try_emplace(chunk, std::move(loaded)).first->second;
}

// A block whose bytes or checksums are damaged: absent from now on, fetched again by whoever asks.
Error Object::drop_block(uint64_t block) {
  bool dropped = false;
  bool dead = false;
  {
    sync::MutexLock lock(mutex_);
    if (!killed_) {
      dropped = map_.clear(block);
      if (dropped) {
        dead = state() == ObjectState::kHandedOut;
        if (!dead) machine_.move(ObjectEvent::kDamaged);
        dirty_chunks_.insert(block / kBlocksPerChunk);
      }
    }
  }
  if (dropped) {
    store_.counters().damaged_blocks.add();
    store_.log_damage(key_.path, block);
    // The kernel reads a handed-out file by itself: what it got stays, new opens get a new object.
    if (dead) store_.doom(*this);
    if (!dead) queue();
  }
  return Error(EBADMSG, "cachefiles.read");
}

Error Object::failed_read(const Error& error) {
  if (state() == ObjectState::kDead) return Error(ESTALE, "cachefiles.read");
  disable(error);
  return Error(EIO, "cachefiles.read");
}

void Object::disable(const Error& error) {
  store_.counters().disabled_objects.add();
  store_.log_disabled(key_.path, error);
  store_.doom(*this);
}

Result<UniqueFd> Object::hand_out() {
  if (state() != ObjectState::kSealed && state() != ObjectState::kHandedOut) {
    return Error(EBUSY, "cachefiles.hand_out");
  }
  // Held until the end, so that our own close below is never the last of an unlinked file.
  Result<Ref<OpenFile>> held = store_.files().reader(id_, Waiting::kDisk);
  if (!held.ok()) return failed_read(held.error());
  // An open of its own: what the kernel keeps is told from what we keep by the lease.
  Result<std::unique_ptr<DiskFile>> own = store_.disk().open(data_path(id_), OpenMode::kRead);
  if (!own.ok()) return failed_read(own.error());
  const Result<FileStat> st = own.value()->stat();
  if (!st.ok()) return failed_read(st.error());
  if (st.value().size_bytes != key_.size_bytes) {
    return failed_read(Error(EBADMSG, "cachefiles.hand_out"));
  }
  UniqueFd fd = TRY(own.value()->descriptor());
  sync::MutexLock lock(mutex_);
  if (killed_) return Error(ESTALE, "cachefiles.hand_out");
  if (state() != ObjectState::kSealed && state() != ObjectState::kHandedOut) {
    return Error(EBUSY, "cachefiles.hand_out");
  }
  machine_.move(ObjectEvent::kHandedOut);
  touch();
  return fd;
}

}  // namespace netfs::cachefiles
