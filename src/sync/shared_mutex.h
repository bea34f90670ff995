#pragma once
// SharedMutex with ReaderLock and WriterLock: many readers or one writer.
//
// Not recursive in either mode.  For tables that are read far more than written.

#include <shared_mutex>

#include "sync/lock_class.h"
#include "sync/probe.h"
#include "sync/thread_annotations.h"

namespace netfs::sync {

class CAPABILITY("shared_mutex") SharedMutex {
 public:
  explicit SharedMutex(const LockClass& lock_class) : probe_(lock_class) {}
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  [[gnu::always_inline]] void lock() ACQUIRE() { probe_.lock(mutex_); }
  [[gnu::always_inline]] void unlock() RELEASE() {
    probe_.unlocking();
    mutex_.unlock();
  }
  [[gnu::always_inline]] void lock_shared() ACQUIRE_SHARED() { probe_.lock_shared(mutex_); }
  [[gnu::always_inline]] void unlock_shared() RELEASE_SHARED() {
    probe_.unlocking();
    mutex_.unlock_shared();
  }

 private:
  [[no_unique_address]] Probe probe_;
  std::shared_mutex mutex_;
};

class SCOPED_CAPABILITY ReaderLock {
 public:
  [[gnu::always_inline]] explicit ReaderLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex)
      : mutex_(mutex) {
    mutex_.lock_shared();
  }
  [[gnu::always_inline]] ~ReaderLock() RELEASE_GENERIC() { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class SCOPED_CAPABILITY WriterLock {
 public:
  [[gnu::always_inline]] explicit WriterLock(SharedMutex& mutex) ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  [[gnu::always_inline]] ~WriterLock() RELEASE() { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

}  // namespace netfs::sync
