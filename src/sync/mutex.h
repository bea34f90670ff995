#pragma once
// Mutex and MutexLock: the only mutex of the project.
//
// Not recursive.  A class is mandatory, so that every lock has a name and a place in the order.
// Hold it for memory only: no I/O, no reply to the kernel and no callback under a lock.
//
//   Mutex mutex_{kInodeTableLock};
//   int count_ GUARDED_BY(mutex_) = 0;
//   ...
//   MutexLock lock(mutex_);

#include <mutex>

#include "sync/lock_class.h"
#include "sync/thread_annotations.h"

namespace netfs::sync {

class CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex(const LockClass& lock_class) : class_(lock_class) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  [[nodiscard]] const LockClass& lock_class() const { return class_; }

 private:
  friend class CondVar;
  const LockClass& class_;
  std::mutex mutex_;
};

// Holds a mutex for a scope.  May be released early, and taken again, in the middle of it.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void unlock() RELEASE() {
    mutex_.unlock();
    held_ = false;
  }
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

}  // namespace netfs::sync
