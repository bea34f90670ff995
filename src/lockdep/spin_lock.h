#pragma once
// SpinLock: the validator's own lock, for it stands below src/sync.  Yields after a short spin.
//
// Never taken by a signal handler that interrupted its holder: Inside (inside.h) sees to that.

#include <atomic>
#include <sched.h>

namespace netfs::lockdep {

class SpinLock {
 public:
  constexpr SpinLock() = default;
  void lock() {
    for (unsigned tries = 0; taken_.exchange(true, std::memory_order_acquire); ++tries) {
      if (tries > 100) sched_yield();
    }
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

class SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) : lock_(lock) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace netfs::lockdep
