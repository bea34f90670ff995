// Storing blocks of an object: on the writer's side only.

#include <utility>

#include "base/crc32c.h"
#include "cachefiles/object.h"
#include "cachefiles/store.h"

namespace netfs::cachefiles {

namespace {

std::vector<uint32_t> crcs_of(std::span<const std::byte> data) {
  std::vector<uint32_t> crcs;
  crcs.reserve((data.size() + kPageBytes - 1) / kPageBytes);
  for (size_t at = 0; at < data.size(); at += kPageBytes) {
    crcs.push_back(crc32c(data.subspan(at, std::min<size_t>(kPageBytes, data.size() - at))));
  }
  return crcs;
}

}  // namespace

Result<void> Object::store(BlockIndex first, std::span<const std::byte> data) {
  const uint64_t begin = first.value * kBlockBytes;
  if (first.value >= map_.block_count() || data.empty() || data.size() > key_.size_bytes - begin) {
    return Error(EINVAL, "cachefiles.store");
  }
  if (data.size() % kBlockBytes != 0 && begin + data.size() != key_.size_bytes) {
    return Error(EINVAL, "cachefiles.store");
  }
  // Without a validator nobody could say later whose bytes these are.
  if (key_.validator.strength == ValidatorStrength::kNone) {
    return Error(EOPNOTSUPP, "cachefiles.store");
  }
  {
    sync::MutexLock lock(mutex_);
    ++storing_;
  }
  Result<void> stored = ensure_file();
  if (stored.ok()) stored = store_blocks(first, data);
  end_store();
  if (!stored.ok()) return stored;
  touch();
  queue();
  return {};
}

// Those of them that are neither there nor on their way.
Result<void> Object::store_blocks(BlockIndex first, std::span<const std::byte> data) {
  const uint64_t begin = first.value * kBlockBytes;
  const uint64_t end = first.value + (data.size() + kBlockBytes - 1) / kBlockBytes;
  for (uint64_t block = first.value; block < end;) {
    // Claims a run of them.
    const uint64_t from = block;
    {
      sync::MutexLock lock(mutex_);
      if (killed_) return Error(ESTALE, "cachefiles.store");
      while (block < end && !map_.present(block) && in_flight_.insert(block).second) ++block;
    }
    if (block == from) {
      ++block;
      continue;
    }
    const uint64_t offset = from * kBlockBytes - begin;
    const uint64_t length = std::min<uint64_t>((block - from) * kBlockBytes, data.size() - offset);
    const Result<void> stored = store_run(from, data.subspan(offset, length));
    unclaim(from, block - from);
    if (!stored.ok()) return stored;
  }
  return {};
}

// A file that was made for blocks of which none found room goes again: no record would ever name
// it, and so nobody would ever remove it.
void Object::end_store() {
  {
    sync::MutexLock lock(mutex_);
    const bool empty = has_file_ && new_file_ && !recorded_ && map_.present_count() == 0;
    if (--storing_ > 0 || !empty || killed_ || !dirty_chunks_.empty()) return;
    making_file_ = true;  // whoever comes to store waits
    store_.space().release(std::exchange(promised_bytes_, 0));
    has_file_ = false;
    new_file_ = false;
  }
  store_.unmake_file(id_);
  sync::MutexLock lock(mutex_);
  making_file_ = false;
  made_.notify_all();
}

void Object::unclaim(uint64_t first, uint64_t count) {
  sync::MutexLock lock(mutex_);
  for (uint64_t block = first; block < first + count; ++block) in_flight_.erase(block);
}

Result<void> Object::ensure_file() {
  {
    sync::MutexLock lock(mutex_);
    while (making_file_ && !killed_) made_.wait(mutex_);
    if (killed_) return Error(ESTALE, "cachefiles.store");
    if (has_file_) return {};
    making_file_ = true;
  }
  const Result<void> made = make_file();
  bool killed = false;
  {
    sync::MutexLock lock(mutex_);
    making_file_ = false;
    has_file_ = made.ok();
    new_file_ = made.ok();
    killed = killed_;
    made_.notify_all();
  }
  if (killed) {
    // Discarded while it was made: whoever did it may have come before the file did.
    const Result<void> gone = store_.disk().remove(data_path(id_));
    if (!gone.ok() && !gone.is_error(ENOENT)) store_.log_disabled(key_.path, gone.error());
    return Error(ESTALE, "cachefiles.store");
  }
  if (made.is_error(ENOSPC) || made.is_error(EDQUOT)) {
    store_.counters().no_space.add();
    return made;
  }
  if (!made.ok()) disable(made.error());
  return made;
}

// The file has its whole size from the start, all of it a hole.
Result<void> Object::make_file() {
  Result<Ref<OpenFile>> file = store_.files().writer(id_, OpenMode::kCreateNew);
  if (file.is_error(EEXIST)) {
    // Left by a crash, of an object that no record names.
    TRY(store_.disk().remove(data_path(id_)));
    file = store_.files().writer(id_, OpenMode::kCreateNew);
  }
  if (!file.ok()) return file.error();
  const Result<void> sized = file.value()->disk_file().truncate(key_.size_bytes);
  if (!sized.ok()) {
    file = Error(sized.error());
    store_.unmake_file(id_);
  }
  return sized;
}

Result<std::vector<Ref<CrcChunk>>> Object::chunks_for_store(uint64_t first, uint64_t count) {
  std::vector<Ref<CrcChunk>> chunks;
  const uint64_t last = (first + count - 1) / kBlocksPerChunk;
  for (uint64_t number = first / kBlocksPerChunk; number <= last; ++number) {
    bool on_disk = false;
    {
      sync::MutexLock lock(mutex_);
      const auto found = chunks_.find(number);
      if (found != chunks_.end()) {
        chunks.push_back(found->second);
        continue;
      }
      // Blocks that are there already have their checksums in the index.
      on_disk = recorded_ && map_.word(number) != 0;
      if (!on_disk) {
        Ref<CrcChunk> fresh = make_ref<CrcChunk>(map_.pages_of_chunk(number));
        chunks.push_back(chunks_.try_emplace(number, std::move(fresh)).first->second);
      }
    }
    if (on_disk) chunks.push_back(TRY(load_chunk(number)));
  }
  return chunks;
}

Result<void> Object::store_run(uint64_t first, std::span<const std::byte> data) {
  const uint64_t count = (data.size() + kBlockBytes - 1) / kBlockBytes;
  const uint64_t bytes = round_up(data.size(), kPageBytes);
  const std::vector<Ref<CrcChunk>> chunks = TRY(chunks_for_store(first, count));
  const uint64_t promised = index_bytes_of_run(first, count);
  TRY(store_.reserve(bytes + promised));
  {
    sync::MutexLock lock(mutex_);
    if (killed_) {
      store_.space().release(bytes + promised);
      return Error(ESTALE, "cachefiles.store");
    }
    in_flight_bytes_ += bytes;
    charged_bytes_ += bytes;
    promised_bytes_ += promised;
  }
  const std::vector<uint32_t> crcs = crcs_of(data);
  Result<void> done = write_run(first, data);
  if (done.is_error(ENOSPC) || done.is_error(EDQUOT)) {
    // The disk is fuller than our limit says: make room once, else leave the block absent.
    if (store_.cull(bytes)) done = write_run(first, data);
  }
  if (done.ok()) return publish_run(first, crcs, bytes, chunks);
  bool killed = false;
  {
    sync::MutexLock lock(mutex_);
    in_flight_bytes_ -= bytes;
    killed = killed_;
    if (!killed) charged_bytes_ -= bytes;
  }
  if (killed) return Error(ESTALE, "cachefiles.store");
  store_.space().release(bytes);
  if (done.is_error(ENOSPC) || done.is_error(EDQUOT)) {
    store_.counters().no_space.add();
  } else {
    disable(done.error());
  }
  return done;
}

// What recording a run will add to the index's log, beyond what is promised already.
uint64_t Object::index_bytes_of_run(uint64_t first, uint64_t count) {
  sync::MutexLock lock(mutex_);
  uint64_t bytes = promised_bytes_ == 0 ? kCommitObjectBytes : 0;
  const uint64_t last = (first + count - 1) / kBlocksPerChunk;
  for (uint64_t number = first / kBlocksPerChunk; number <= last; ++number) {
    if (!dirty_chunks_.contains(number)) bytes += kCommitChunkBytes;
  }
  return bytes;
}

Result<void> Object::write_run(uint64_t first, std::span<const std::byte> data) {
  const Ref<OpenFile> file = TRY(store_.files().writer(id_, OpenMode::kReadWrite));
  return file->disk_file().write(first * kBlockBytes, data);
}

// Data is written: now its checksums, then its presence.
Result<void> Object::publish_run(uint64_t first, std::span<const uint32_t> crcs, uint64_t bytes,
                                 const std::vector<Ref<CrcChunk>>& chunks) {
  sync::MutexLock lock(mutex_);
  in_flight_bytes_ -= bytes;
  if (killed_) return Error(ESTALE, "cachefiles.store");
  data_written_ = true;
  const uint64_t count = (crcs.size() + kPagesPerBlock - 1) / kPagesPerBlock;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t block = first + i;
    const uint64_t number = block / kBlocksPerChunk;
    const size_t pages = std::min<size_t>(kPagesPerBlock, crcs.size() - i * kPagesPerBlock);
    const Ref<CrcChunk>& chunk = chunks[number - first / kBlocksPerChunk];
    chunk->set_block(block % kBlocksPerChunk, crcs.subspan(i * kPagesPerBlock, pages));
    // It may have been dropped to save memory; from now on the commit needs it.
    chunks_[number] = chunk;
    dirty_chunks_.insert(number);
    map_.set_present(block);
  }
  machine_.move(ObjectEvent::kStored);
  store_.counters().stored_blocks.add(count);
  return {};
}

}  // namespace netfs::cachefiles
