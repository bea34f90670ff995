#include "netfs/testing/memory_cache.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "netfs/lock_classes.h"
#include "sync/context.h"

namespace netfs {

// One version of one file; guarded by the cache's mutex.
struct MemoryCache::Object {
  CookieKey key;
  std::map<uint64_t, std::vector<std::byte>> blocks;
  std::map<uint64_t, bool> damaged;
  ObjectState state = ObjectState::kAbsent;
  size_t number = 0;  // later ones have greater ones, as long as none goes
  bool may_seal = false;

  [[nodiscard]] uint64_t block_count(uint64_t block_bytes) const {
    return (key.size_bytes + block_bytes - 1) / block_bytes;
  }
};

class MemoryCookie final : public Cookie {
 public:
  MemoryCookie(MemoryCache& cache, std::shared_ptr<MemoryCache::Object> object)
      : cache_(cache), key_(object->key), object_(std::move(object)) {}

  [[nodiscard]] const CookieKey& key() const override { return key_; }
  [[nodiscard]] uint32_t block_bytes() const override { return cache_.block_bytes_; }
  [[nodiscard]] ObjectState state() const override {
    sync::MutexLock lock(cache_.mutex_);
    return object_->state;
  }
  [[nodiscard]] bool present(BlockIndex block) const override {
    sync::MutexLock lock(cache_.mutex_);
    return object_->blocks.contains(block.value);
  }
  [[nodiscard]] uint64_t run_length(BlockIndex block, uint64_t count_max) const override {
    sync::MutexLock lock(cache_.mutex_);
    const bool first = object_->blocks.contains(block.value);
    uint64_t count = 1;
    while (count < count_max && object_->blocks.contains(block.value + count) == first) ++count;
    return std::min(count, count_max);
  }
  Result<void> read(uint64_t offset_bytes, std::span<std::byte> to, Waiting waiting) override;
  Result<UniqueFd> hand_out() override;
  void touch() override {}

 private:
  friend class MemoryWriter;
  Result<void> admit(ByteRange range, Waiting waiting) EXCLUDES(cache_.mutex_);

  MemoryCache& cache_;
  const CookieKey key_;
  const std::shared_ptr<MemoryCache::Object> object_;
};

class MemoryVolume final : public Volume {
 public:
  MemoryVolume(MemoryCache& cache, std::string key) : cache_(cache), key_(std::move(key)) {}

  Result<Ref<Cookie>> lookup(CookieKey key) override {
    sync::MutexLock lock(cache_.mutex_);
    std::shared_ptr<MemoryCache::Object>& object =
        cache_.objects_[key_ + "\n" + MemoryCache::key_of(key)];
    if (!object) {
      object = std::make_shared<MemoryCache::Object>();
      object->key = std::move(key);
      object->number = cache_.objects_.size();
    }
    return Ref<Cookie>(make_ref<MemoryCookie>(cache_, object));
  }
  Result<std::optional<CookieKey>> newest(const std::string& identity) override {
    sync::MutexLock lock(cache_.mutex_);
    const MemoryCache::Object* found = nullptr;
    for (const auto& [key, object] : cache_.objects_) {
      const bool stored = key.starts_with(key_ + "\n") && object->key.identity == identity &&
                          object->state != ObjectState::kAbsent &&
                          object->state != ObjectState::kDead;
      if (stored && (found == nullptr || object->number > found->number)) found = object.get();
    }
    return found == nullptr ? std::optional<CookieKey>() : found->key;
  }
  [[nodiscard]] bool has_room() const override { return cache_.has_room_; }

 private:
  MemoryCache& cache_;
  const std::string key_;
};

class MemoryWriter final : public CacheWriter {
 public:
  explicit MemoryWriter(MemoryCache& cache) : cache_(cache) {}
  ~MemoryWriter() override {
    sync::MutexLock lock(cache_.mutex_);
    cache_.writer_open_ = false;
  }

  Result<void> store(Cookie& cookie, BlockIndex first, std::span<const std::byte> data) override;
  Result<void> commit() override;
  void may_seal(Cookie& cookie) override;
  void discard(Cookie& cookie) override;
  Result<void> forget(Volume& volume, const std::string& path, ForgetScope scope) override;
  void maintain() override { const WriteSide side; }

 private:
  MemoryCache& cache_;
};

Result<void> MemoryCookie::admit(ByteRange range, Waiting waiting) {
  sync::MutexLock lock(cache_.mutex_);
  ++cache_.counts_.reads;
  if (waiting == Waiting::kNever && (cache_.read_error_ == EAGAIN || cache_.reads_blocked_)) {
    return Error(EAGAIN, "memory.read");
  }
  while (waiting != Waiting::kNever && cache_.reads_blocked_) {
    ++cache_.reads_waiting_;
    cache_.changed_.notify_all();
    cache_.changed_.wait(cache_.mutex_);
    --cache_.reads_waiting_;
  }
  if (cache_.read_error_ == 0 || cache_.read_error_ == EAGAIN) return {};
  const uint64_t block_bytes = cache_.block_bytes_;
  const bool touched =
      !cache_.failing_block_ ||
      !range.intersect({cache_.failing_block_->value * block_bytes, block_bytes}).empty();
  if (touched) return Error(cache_.read_error_, "memory.read");
  return {};
}

Result<void> MemoryCookie::read(uint64_t offset_bytes, std::span<std::byte> to, Waiting waiting) {
  TRY(admit({offset_bytes, to.size()}, waiting));
  sync::MutexLock lock(cache_.mutex_);
  if (object_->state == ObjectState::kDead) return Error(ESTALE, "memory.read");
  NETFS_ASSERT(offset_bytes + to.size() <= key_.size_bytes);
  while (!to.empty()) {
    const uint64_t block = offset_bytes / cache_.block_bytes_;
    const auto found = object_->blocks.find(block);
    if (found == object_->blocks.end()) return Error(ENODATA, "memory.read");
    if (object_->damaged.contains(block)) {
      object_->damaged.erase(block);
      object_->blocks.erase(found);
      return Error(EBADMSG, "memory.read");
    }
    const uint64_t within = offset_bytes % cache_.block_bytes_;
    const size_t count = std::min<uint64_t>(to.size(), found->second.size() - within);
    std::memcpy(to.data(), found->second.data() + within, count);
    to = to.subspan(count);
    offset_bytes += count;
  }
  return {};
}

Result<UniqueFd> MemoryCookie::hand_out() {
  sync::MutexLock lock(cache_.mutex_);
  if (object_->state != ObjectState::kSealed && object_->state != ObjectState::kHandedOut) {
    return Error(EBUSY, "memory.hand_out");
  }
  UniqueFd file(memfd_create("netfs-memory-cache", MFD_CLOEXEC));
  if (!file) return Error::from_errno("memory.hand_out");
  for (const auto& [index, block] : object_->blocks) {
    const auto at = static_cast<off_t>(index * cache_.block_bytes_);
    if (pwrite(file.get(), block.data(), block.size(), at) != static_cast<ssize_t>(block.size())) {
      return Error(EIO, "memory.hand_out");
    }
  }
  object_->state = ObjectState::kHandedOut;
  return file;
}

Result<void> MemoryWriter::store(Cookie& cookie, BlockIndex first,
                                 std::span<const std::byte> data) {
  const WriteSide side;
  sync::MutexLock lock(cache_.mutex_);
  while (cache_.stores_blocked_) {
    ++cache_.stores_waiting_;
    cache_.changed_.notify_all();
    cache_.changed_.wait(cache_.mutex_);
    --cache_.stores_waiting_;
  }
  ++cache_.counts_.stores;
  MemoryCache::Object& object = *static_cast<MemoryCookie&>(cookie).object_;
  if (object.state == ObjectState::kDead) return Error(ESTALE, "memory.store");
  if (cache_.store_error_ != 0) return Error(cache_.store_error_, "memory.store");
  const uint64_t begin = first.value * cache_.block_bytes_;
  NETFS_ASSERT(begin + data.size() <= object.key.size_bytes);
  NETFS_ASSERT(data.size() % cache_.block_bytes_ == 0 ||
               begin + data.size() == object.key.size_bytes);
  for (uint64_t block = first.value; !data.empty(); ++block) {
    const size_t count = std::min<size_t>(data.size(), cache_.block_bytes_);
    object.blocks[block].assign(data.begin(), data.begin() + static_cast<ptrdiff_t>(count));
    object.damaged.erase(block);
    data = data.subspan(count);
    ++cache_.counts_.stored_blocks;
  }
  if (object.state == ObjectState::kAbsent) object.state = ObjectState::kPartial;
  return {};
}

Result<void> MemoryWriter::commit() {
  const WriteSide side;
  sync::MutexLock lock(cache_.mutex_);
  ++cache_.counts_.commits;
  for (const auto& [name, object] : cache_.objects_) {
    if (object->state == ObjectState::kPartial &&
        object->blocks.size() == object->block_count(cache_.block_bytes_)) {
      object->state = ObjectState::kComplete;
    }
    if (object->state == ObjectState::kComplete && object->may_seal) {
      object->state = ObjectState::kSealed;
    }
  }
  return {};
}

void MemoryWriter::may_seal(Cookie& cookie) {
  const WriteSide side;
  sync::MutexLock lock(cache_.mutex_);
  ++cache_.counts_.may_seals;
  static_cast<MemoryCookie&>(cookie).object_->may_seal = true;
}

void MemoryWriter::discard(Cookie& cookie) {
  const WriteSide side;
  sync::MutexLock lock(cache_.mutex_);
  ++cache_.counts_.discards;
  MemoryCache::Object& object = *static_cast<MemoryCookie&>(cookie).object_;
  object.state = ObjectState::kDead;
  object.blocks.clear();
  std::erase_if(cache_.objects_, [&](const auto& entry) { return entry.second.get() == &object; });
}

Result<void> MemoryWriter::forget(Volume& /*volume*/, const std::string& path, ForgetScope scope) {
  const WriteSide side;
  sync::MutexLock lock(cache_.mutex_);
  while (cache_.stores_blocked_) cache_.changed_.wait(cache_.mutex_);
  ++cache_.counts_.forgets;
  std::erase_if(cache_.objects_, [&](const auto& entry) {
    MemoryCache::Object& object = *entry.second;
    const std::string& at = object.key.path;
    const bool beneath = at.starts_with(path + "/");
    const bool named = at == path || object.key.identity == path;
    if (!named && !(scope == ForgetScope::kTree && beneath)) return false;
    object.state = ObjectState::kDead;
    object.blocks.clear();
    return true;
  });
  return {};
}

MemoryCache::MemoryCache(uint32_t block_bytes)
    : block_bytes_(block_bytes), mutex_(kMemoryCacheLock) {}

MemoryCache::~MemoryCache() = default;

std::string MemoryCache::key_of(const CookieKey& key) {
  return key.identity + "\n" + key.validator.bytes + "\n" + std::to_string(key.size_bytes);
}

Result<Ref<Volume>> MemoryCache::open_volume(const std::string& volume_key) {
  return Ref<Volume>(make_ref<MemoryVolume>(*this, volume_key));
}

std::unique_ptr<CacheWriter> MemoryCache::open_writer() {
  sync::MutexLock lock(mutex_);
  NETFS_ASSERT(!writer_open_);
  writer_open_ = true;
  return std::make_unique<MemoryWriter>(*this);
}

CacheUsage MemoryCache::usage() const {
  sync::MutexLock lock(mutex_);
  CacheUsage usage;
  usage.stored_blocks = counts_.stored_blocks;
  usage.object_count = objects_.size();
  for (const auto& [name, object] : objects_) {
    usage.used_bytes += object->blocks.size() * block_bytes_;
    const bool sealed =
        object->state == ObjectState::kSealed || object->state == ObjectState::kHandedOut;
    if (sealed) ++usage.sealed_count;
  }
  return usage;
}

void MemoryCache::block_stores() {
  sync::MutexLock lock(mutex_);
  stores_blocked_ = true;
}

void MemoryCache::unblock_stores() {
  sync::MutexLock lock(mutex_);
  stores_blocked_ = false;
  changed_.notify_all();
}

bool MemoryCache::wait_for_blocked_store(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (stores_waiting_ == 0) {
    if (!changed_.wait_until(mutex_, deadline.at)) return stores_waiting_ > 0;
  }
  return true;
}

void MemoryCache::fail_stores(int error) {
  sync::MutexLock lock(mutex_);
  store_error_ = error;
}

void MemoryCache::fail_reads(int error, std::optional<BlockIndex> block) {
  sync::MutexLock lock(mutex_);
  read_error_ = error;
  failing_block_ = block;
}

void MemoryCache::corrupt(const std::string& path, std::optional<BlockIndex> block) {
  sync::MutexLock lock(mutex_);
  for (const auto& [name, object] : objects_) {
    if (object->key.path != path) continue;
    for (const auto& [index, bytes] : object->blocks) {
      if (!block || index == block->value) object->damaged[index] = true;
    }
  }
}

void MemoryCache::block_reads() {
  sync::MutexLock lock(mutex_);
  reads_blocked_ = true;
}

void MemoryCache::unblock_reads() {
  sync::MutexLock lock(mutex_);
  reads_blocked_ = false;
  changed_.notify_all();
}

bool MemoryCache::wait_for_blocked_read(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (reads_waiting_ == 0) {
    if (!changed_.wait_until(mutex_, deadline.at)) return reads_waiting_ > 0;
  }
  return true;
}

MemoryCache::Counts MemoryCache::counts() const {
  sync::MutexLock lock(mutex_);
  return counts_;
}

uint64_t MemoryCache::stored_blocks(const std::string& path) const {
  sync::MutexLock lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [name, object] : objects_) {
    if (object->key.path == path) sum += object->blocks.size();
  }
  return sum;
}

}  // namespace netfs
