#pragma once
// DirtyFiles: the files of one library with bytes that were answered and are not yet at the origin.
//
// It bounds the memory that those take, keeps each such file alive until it is settled, whatever
// becomes of its handles, and is how all of them are found.
//
// Thread-safe.

#include <atomic>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/ref.h"
#include "netfs/lock_classes.h"
#include "sync/mutex.h"

namespace netfs {

class LiveFile;

class DirtyFiles {
 public:
  explicit DirtyFiles(uint64_t memory_bytes_max);
  ~DirtyFiles();

  // Room for one more write; false: there is none, and it is answered when the origin has it.
  bool reserve(uint64_t bytes);
  void release(uint64_t bytes) { used_.fetch_sub(bytes); }

  // The first write of a file that is kept here, and when it has none any more.
  void enter(LiveFile& file) EXCLUDES(mutex_);
  void leave(LiveFile& file) EXCLUDES(mutex_);
  [[nodiscard]] std::vector<Ref<LiveFile>> all() const EXCLUDES(mutex_);

 private:
  const uint64_t max_;
  std::atomic<uint64_t> used_{0};
  mutable sync::Mutex mutex_{kDirtyFilesLock};
  std::unordered_map<LiveFile*, Ref<LiveFile>> files_ GUARDED_BY(mutex_);
};

}  // namespace netfs
