#pragma once
// ReadStream: what one open handle has been asked for, and so what it will ask for next.
//
// Wraps the pure detector of readahead.h in a lock, for requests of one handle arrive on several
// threads.  Made by File::open_stream(); goes with its handle.  Thread-safe.

#include "netfs/lock_classes.h"
#include "netfs/readahead.h"
#include "sync/mutex.h"

namespace netfs {

class ReadStream {
 public:
  // Notes a read and says what to fetch beyond it.
  ReadaheadPlan note(ByteRange asked, const ReadaheadLimits& limits) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    return detector_.note(asked, limits);
  }
  void cut_plan(uint64_t offset_bytes) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    detector_.cut_plan(offset_bytes);
  }

 private:
  sync::Mutex mutex_{kReadStreamLock};
  ReadaheadDetector detector_ GUARDED_BY(mutex_);
};

}  // namespace netfs
