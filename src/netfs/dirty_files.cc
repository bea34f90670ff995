#include "netfs/dirty_files.h"

#include "netfs/live_file.h"

namespace netfs {

DirtyFiles::DirtyFiles(uint64_t memory_bytes_max) : max_(memory_bytes_max) {}
DirtyFiles::~DirtyFiles() = default;

bool DirtyFiles::reserve(uint64_t bytes) {
  uint64_t used = used_.load();
  do {
    if (used + bytes > max_) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes));
  return true;
}

void DirtyFiles::enter(LiveFile& file) {
  sync::MutexLock lock(mutex_);
  files_.emplace(&file, Ref<LiveFile>(&file));
}

void DirtyFiles::leave(LiveFile& file) {
  Ref<LiveFile> last;  // let go of without the lock
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(&file);
  if (found == files_.end()) return;
  last = std::move(found->second);
  files_.erase(found);
  lock.unlock();
}

std::vector<Ref<LiveFile>> DirtyFiles::all() const {
  std::vector<Ref<LiveFile>> found;
  sync::MutexLock lock(mutex_);
  found.reserve(files_.size());
  for (const auto& [key, file] : files_) found.push_back(file);
  return found;
}

}  // namespace netfs
