#include "cachefiles/file_cache.h"

#include <algorithm>
#include <spdlog/fmt/fmt.h>

#include "base/assert.h"
#include "cachefiles/limits.h"

namespace netfs::cachefiles {

namespace {

// What may be cached: the budget less the files that are in use while they leave the cache, one or
// two for each thread that reads or stores.
uint32_t cached_max_of(uint32_t budget) {
  const uint32_t whole = std::max(budget, kDescriptorBudgetMin);
  return whole - std::min(whole / 2, 16u);
}

}  // namespace

std::string data_directory(ObjectId object) {
  return fmt::format("objects/{:02x}", object.value & 0xff);
}
std::string data_path(ObjectId object) {
  return fmt::format("objects/{:02x}/{:016x}", object.value & 0xff, object.value);
}
std::string dead_path(ObjectId object) {
  return fmt::format("dead/{:016x}", object.value);
}

OpenFile::~OpenFile() {
  cache_.close(object_, std::move(file_));
}

FileCache::FileCache(Disk& disk, Space& space, uint32_t budget) : disk_(disk), space_(space) {
  const uint32_t cached_max = cached_max_of(budget);
  sync::MutexLock lock(mutex_);
  shares_[kForWriter].cached_max = cached_max / 4;
  shares_[kForReader].cached_max = cached_max - cached_max / 4;
}

FileCache::~FileCache() {
  std::vector<Ref<OpenFile>> dropped;
  {
    sync::MutexLock lock(mutex_);
    for (auto& [object, entry] : entries_) {
      for (const Kind kind : {kForReader, kForWriter}) dropped.push_back(drop_locked(entry, kind));
    }
  }
  dropped.clear();
  close_retired();
}

Result<Ref<OpenFile>> FileCache::reader(ObjectId object, Waiting waiting) {
  if (Ref<OpenFile> there = find(object, kForReader)) return there;
  if (waiting == Waiting::kNever) return Error(EAGAIN, "cachefiles.files");
  return open(object, OpenMode::kRead, kForReader);
}

Result<Ref<OpenFile>> FileCache::writer(ObjectId object, OpenMode mode) {
  if (Ref<OpenFile> there = find(object, kForWriter)) return there;
  return open(object, mode, kForWriter);
}

Ref<OpenFile> FileCache::find(ObjectId object, Kind kind) {
  sync::MutexLock lock(mutex_);
  const auto found = entries_.find(object);
  if (found == entries_.end()) return nullptr;
  Slot& slot = found->second.slots[kind];
  if (!slot.file) return nullptr;
  std::list<ObjectId>& recency = shares_[kind].recency;
  recency.splice(recency.begin(), recency, slot.recency);
  return slot.file;
}

Result<Ref<OpenFile>> FileCache::open(ObjectId object, OpenMode mode, Kind kind) {
  std::vector<Ref<OpenFile>> dropped;
  {
    sync::MutexLock lock(mutex_);
    ++entries_[object].open;
    ++open_;
    Share& share = shares_[kind];
    while (share.recency.size() >= share.cached_max) {
      dropped.push_back(drop_locked(entries_[share.recency.back()], kind));
    }
  }
  dropped.clear();
  Result<std::unique_ptr<DiskFile>> file = disk_.open(data_path(object), mode);
  if (!file.ok()) {
    sync::MutexLock lock(mutex_);
    --entries_[object].open;
    --open_;
    tidy_locked(object);
    return std::move(file).error();
  }
  Ref<OpenFile> opened = make_ref<OpenFile>(*this, object, std::move(file).value());
  sync::MutexLock lock(mutex_);
  Entry& entry = entries_[object];
  Slot& slot = entry.slots[kind];
  // Another thread may have opened it meanwhile, or it may be on its way out: then ours is used
  // once.
  if (!entry.retired && !slot.file) {
    std::list<ObjectId>& recency = shares_[kind].recency;
    slot.file = opened;
    slot.recency = recency.insert(recency.begin(), object);
  }
  return opened;
}

Ref<OpenFile> FileCache::drop_locked(Entry& entry, Kind kind) {
  Slot& slot = entry.slots[kind];
  if (!slot.file) return nullptr;
  shares_[kind].recency.erase(slot.recency);
  return std::move(slot.file);
}

void FileCache::close(ObjectId object, std::unique_ptr<DiskFile> file) {
  {
    sync::MutexLock lock(mutex_);
    Entry& entry = entries_[object];
    if (entry.retired) {
      to_close_.emplace_back(object, std::move(file));
      return;
    }
    ++entry.closing;
  }
  file.reset();
  sync::MutexLock lock(mutex_);
  Entry& entry = entries_[object];
  --entry.closing;
  --entry.open;
  --open_;
  tidy_locked(object);
  closed_.notify_all();
}

void FileCache::tidy_locked(ObjectId object) {
  const auto found = entries_.find(object);
  if (found == entries_.end() || found->second.open > 0 || found->second.closing > 0) return;
  Entry& entry = found->second;
  if (entry.retired && !entry.removed) return;
  if (entry.removed) space_.release(entry.charged_bytes);
  entries_.erase(found);  // its slots are empty: each cached file counts as open
}

void FileCache::forget(ObjectId object) {
  Ref<OpenFile> dropped[2];
  sync::MutexLock lock(mutex_);
  const auto found = entries_.find(object);
  if (found == entries_.end()) return;
  for (const Kind kind : {kForReader, kForWriter}) dropped[kind] = drop_locked(found->second, kind);
  lock.unlock();
  for (Ref<OpenFile>& file : dropped) file = nullptr;
  lock.lock();
}

void FileCache::retire(ObjectId object) {
  Ref<OpenFile> dropped[2];  // closed after the lock is gone, and then by close_retired()
  sync::MutexLock lock(mutex_);
  Entry& entry = entries_[object];
  entry.retired = true;
  for (const Kind kind : {kForReader, kForWriter}) dropped[kind] = drop_locked(entry, kind);
  // Closes begun before are of a linked file and end soon.
  while (entries_[object].closing > 0) closed_.wait(mutex_);
  lock.unlock();
  for (Ref<OpenFile>& file : dropped) file = nullptr;
  lock.lock();
}

void FileCache::removed(ObjectId object, uint64_t charged_bytes) {
  sync::MutexLock lock(mutex_);
  Entry& entry = entries_[object];
  entry.retired = true;
  entry.removed = true;
  entry.charged_bytes = charged_bytes;
  tidy_locked(object);
}

void FileCache::close_retired() {
  std::vector<std::pair<ObjectId, std::unique_ptr<DiskFile>>> files;
  {
    sync::MutexLock lock(mutex_);
    files.swap(to_close_);
  }
  for (auto& [object, file] : files) {
    file.reset();
    sync::MutexLock lock(mutex_);
    --entries_[object].open;
    --open_;
    tidy_locked(object);
  }
}

size_t FileCache::open_count() const {
  sync::MutexLock lock(mutex_);
  return open_;
}

}  // namespace netfs::cachefiles
