#include "cachefiles/file_cache.h"

#include <algorithm>
#include <spdlog/fmt/fmt.h>

#include "base/assert.h"
#include "cachefiles/limits.h"

namespace netfs::cachefiles {

namespace {

// Files that are in use while they leave the cache: the threads that read and store.
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

FileCache::FileCache(Disk& disk, Space& space, uint32_t budget)
    : disk_(disk), space_(space), cached_max_(cached_max_of(budget)) {}

FileCache::~FileCache() {
  std::vector<Ref<OpenFile>> dropped;
  {
    sync::MutexLock lock(mutex_);
    for (auto& [object, entry] : entries_) {
      if (entry.reader) dropped.push_back(std::move(entry.reader));
      if (entry.writer) dropped.push_back(std::move(entry.writer));
    }
  }
  dropped.clear();
  close_retired();
}

Result<Ref<OpenFile>> FileCache::reader(ObjectId object, Waiting waiting) {
  {
    sync::MutexLock lock(mutex_);
    const auto found = entries_.find(object);
    if (found != entries_.end() && found->second.reader) {
      use_locked(object, found->second);
      return found->second.reader;
    }
  }
  if (waiting == Waiting::kNever) return Error(EAGAIN, "cachefiles.files");
  return open(object, OpenMode::kRead, &Entry::reader);
}

Result<Ref<OpenFile>> FileCache::writer(ObjectId object, OpenMode mode) {
  {
    sync::MutexLock lock(mutex_);
    const auto found = entries_.find(object);
    if (found != entries_.end() && found->second.writer) {
      use_locked(object, found->second);
      return found->second.writer;
    }
  }
  return open(object, mode, &Entry::writer);
}

Result<Ref<OpenFile>> FileCache::open(ObjectId object, OpenMode mode, Slot slot) {
  std::vector<Ref<OpenFile>> dropped;
  {
    sync::MutexLock lock(mutex_);
    ++entries_[object].open;
    ++open_;
    while (cached_ >= cached_max_ && !recency_.empty()) shrink_locked(dropped);
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
  // Another thread may have opened it meanwhile, or it may be on its way out: then ours is used
  // once.
  if (!entry.retired && !(entry.*slot)) {
    entry.*slot = opened;
    ++cached_;
    use_locked(object, entry);
  }
  return opened;
}

void FileCache::use_locked(ObjectId object, Entry& entry) {
  if (entry.in_recency) {
    recency_.splice(recency_.begin(), recency_, entry.recency);
  } else {
    entry.recency = recency_.insert(recency_.begin(), object);
    entry.in_recency = true;
  }
}

void FileCache::shrink_locked(std::vector<Ref<OpenFile>>& dropped) {
  Entry& entry = entries_[recency_.back()];
  recency_.pop_back();
  entry.in_recency = false;
  for (const Slot slot : {&Entry::reader, &Entry::writer}) {
    if (!(entry.*slot)) continue;
    dropped.push_back(std::move(entry.*slot));
    --cached_;
  }
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
  if (entry.in_recency) recency_.erase(entry.recency);
  entries_.erase(found);
}

void FileCache::forget(ObjectId object) {
  std::vector<Ref<OpenFile>> dropped;
  sync::MutexLock lock(mutex_);
  const auto found = entries_.find(object);
  if (found == entries_.end() || !found->second.in_recency) return;
  recency_.splice(recency_.end(), recency_, found->second.recency);
  shrink_locked(dropped);
  lock.unlock();
  dropped.clear();
  lock.lock();
}

void FileCache::retire(ObjectId object) {
  std::vector<Ref<OpenFile>> dropped;
  {
    sync::MutexLock lock(mutex_);
    Entry& entry = entries_[object];
    entry.retired = true;
    if (entry.in_recency) {
      recency_.splice(recency_.end(), recency_, entry.recency);
      shrink_locked(dropped);
    }
    // Closes begun before are of a linked file and end soon.
    while (entries_[object].closing > 0) closed_.wait(mutex_);
  }
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
