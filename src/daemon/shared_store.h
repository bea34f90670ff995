#pragma once
// SharedStore: what all mounts of one daemon share: the cache directory, the offload that writes to
// it, the buffers that data travels in, and the thread that looks where callers run.
//
// Life: open() once, at the first mount; close() after the last mount is closed, boundedly.  When
// close() answers false, a thread still stands in a write to a disk that does not answer: nothing
// here may be destroyed then, and the process ends by _exit().  Thread-safe.
//
//   SharedStore store({.cache_dir = "/var/cache/netfs", .cache_size = {.percent = 10}});
//   TRY(store.open());

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <sys/types.h>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_function.h"
#include "cachefiles/cache_files.h"
#include "daemon/lock_classes.h"
#include "daemon/quantity.h"
#include "fuse/caller_watch.h"
#include "netfs/buffer.h"
#include "netfs/cache.h"
#include "netfs/offload.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::daemon {

class SharedStore {
 public:
  struct Options {
    std::string cache_dir;  // empty: no cache
    DiskAmount cache_size{.percent = 10};
    uint64_t memory_bytes = 96 << 20;
  };

  explicit SharedStore(Options options);
  ~SharedStore();

  // Opens the cache if it is not open; waits for the disk.  Errors: CacheFiles::create(); it may be
  // tried again then.
  Result<void> open() EXCLUDES(mutex_);
  // The same for mounts that must live on: where the cache cannot be opened, or its disk stands
  // still meanwhile, they go on without one, and the log says so.  It may come later, when the disk
  // goes on or the process before this one has ended: then `came` is called, once, by a thread of
  // the store, and not after close().
  void open_or_go_on(UniqueFunction<void()> came) EXCLUDES(mutex_);
  bool close(Deadline deadline) EXCLUDES(mutex_);

  [[nodiscard]] const Options& options() const { return options_; }
  BufferPool& pool() { return pool_; }
  fuse::CallerWatch& callers() { return callers_; }
  // Null without a cache, which may come later; what has come stays until close().
  cachefiles::CacheFiles* cache() EXCLUDES(mutex_);
  Offload* offload() EXCLUDES(mutex_);
  // For a mount of that volume.  One that may write and gets none changes what the cache knows
  // nothing of: no mount of the volume uses it then, for as long as this process lives.
  cachefiles::CacheFiles* cache_for(const std::string& volume_key, bool writes) EXCLUDES(mutex_);
  // A mount without the cache may change a file so that what the cache has of it looks as if it
  // were of the new one: the next process that has the cache drops what that has of the volume.
  void distrust(const std::string& volume_key) EXCLUDES(mutex_);
  // Why there is none; empty: nobody wants one, or it is there.
  [[nodiscard]] std::string why_no_cache() const EXCLUDES(mutex_);

 private:
  enum class State { kNew, kOpening, kOpen, kLate };

  [[nodiscard]] bool begin_opening() EXCLUDES(mutex_);
  Result<bool> open_now() EXCLUDES(mutex_);
  void go_on_without(const std::string& why) EXCLUDES(mutex_);
  void open_behind() EXCLUDES(mutex_);
  bool may_try_again() EXCLUDES(mutex_);
  void leave_mark(const std::string& volume_key);

  const Options options_;
  BufferPool pool_;
  fuse::CallerWatch callers_;
  mutable sync::Mutex mutex_{kSharedStoreLock};
  sync::CondVar changed_;
  State state_ GUARDED_BY(mutex_) = State::kNew;
  bool closing_ GUARDED_BY(mutex_) = false;
  std::string why_no_cache_ GUARDED_BY(mutex_);
  std::set<std::string> changed_volumes_ GUARDED_BY(mutex_);  // by mounts without a cache
  std::set<std::string> distrusted_ GUARDED_BY(mutex_);  // of these, to be marked when it comes
  std::unique_ptr<cachefiles::CacheFiles> cache_ GUARDED_BY(mutex_);
  std::unique_ptr<Offload> offload_ GUARDED_BY(mutex_);
  // At the cache's disk for open_or_go_on(), perhaps longer than that; last: it uses all of these.
  std::atomic<pid_t> opener_thread_{0};
  bool opener_runs_ GUARDED_BY(mutex_) = false;
  UniqueFunction<void()> came_;  // the opener's
  sync::Thread opener_ GUARDED_BY(mutex_);
};

// The limit in bytes: a share is of the whole disk that `directory` is on.
Result<uint64_t> limit_bytes(const DiskAmount& amount, const std::string& directory);

// What an Offload may queue when all buffers are `memory_bytes`: half, so that readers have room.
size_t offload_queue_bytes(uint64_t memory_bytes);

}  // namespace netfs::daemon
