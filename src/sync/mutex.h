#pragma once
// Mutex and MutexLock: the only mutex of the project.
//
// Not recursive.  A class is mandatory, so that every lock has a name and a place in the order;
// with NETFS_LOCKDEP the validator learns and checks that order (sync/probe.h).  Hold it for memory
// only: no I/O, no reply to the kernel and no callback under a lock.
//
//   Mutex mutex_{kInodeTableLock};
//   int count_ GUARDED_BY(mutex_) = 0;
//   ...
//   MutexLock lock(mutex_);

#include <mutex>

#include "sync/lock_class.h"
#include "sync/probe.h"
#include "sync/thread_annotations.h"

namespace netfs::sync {

class CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex(const LockClass& lock_class) : probe_(lock_class) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  [[gnu::always_inline]] void lock() ACQUIRE() { probe_.lock(mutex_); }
  [[gnu::always_inline]] void unlock() RELEASE() {
    probe_.unlocking();
    mutex_.unlock();
  }
  [[gnu::always_inline]] bool try_lock() TRY_ACQUIRE(true) { return probe_.try_lock(mutex_); }

 private:
  friend class CondVar;
  [[no_unique_address]] Probe probe_;
  std::mutex mutex_;
};

// Holds a mutex for a scope.  May be released early, and taken again, in the middle of it.
class SCOPED_CAPABILITY MutexLock {
 public:
  [[gnu::always_inline]] explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  [[gnu::always_inline]] ~MutexLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  [[gnu::always_inline]] void unlock() RELEASE() {
    mutex_.unlock();
    held_ = false;
  }
  [[gnu::always_inline]] void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

}  // namespace netfs::sync
