#include "netfs/reads_ahead.h"

#include <utility>

#include "netfs/remote_file.h"

namespace netfs {

ReadsAhead::ReadsAhead(unsigned reads_max) : reads_max_(reads_max) {}
ReadsAhead::~ReadsAhead() = default;

bool ReadsAhead::begin(uint64_t bytes, uint64_t under_way_bytes, const Ref<RemoteFile>& file) {
  if (!counts()) return true;
  sync::MutexLock lock(mutex_);
  if (has_room_locked(under_way_bytes)) {
    ++reads_;
    bytes_ += bytes;
    return true;
  }
  if (std::find(waiting_.begin(), waiting_.end(), file) == waiting_.end()) {
    waiting_.push_back(file);
  }
  return false;
}

void ReadsAhead::came(uint64_t bytes) {
  sync::MutexLock lock(mutex_);
  bytes_ -= bytes;
}

void ReadsAhead::ended(uint64_t left_bytes) {
  sync::MutexLock lock(mutex_);
  --reads_;
  bytes_ -= left_bytes;
}

Ref<RemoteFile> ReadsAhead::next(uint64_t under_way_bytes) {
  sync::MutexLock lock(mutex_);
  if (waiting_.empty() || !has_room_locked(under_way_bytes)) return nullptr;
  Ref<RemoteFile> file = std::move(waiting_.front());
  waiting_.pop_front();
  return file;
}

}  // namespace netfs
