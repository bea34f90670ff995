#pragma once
// CondVar: waits for a condition guarded by a Mutex.  Spurious wake-ups happen: wait in a loop.
//
//   MutexLock lock(mutex_);
//   while (!ready_) {
//     if (!cond_.wait_until(mutex_, deadline.at)) return Error(ETIMEDOUT, "ready");
//   }

#include <condition_variable>

#include "base/clock.h"
#include "sync/mutex.h"

namespace netfs::sync {

class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  [[gnu::always_inline]] void wait(Mutex& mutex) REQUIRES(mutex) {
    mutex.probe_.wait_begins();
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    cond_.wait(lock);
    lock.release();
    mutex.probe_.wait_ends();
  }
  // False once `until` has passed.
  [[gnu::always_inline]] bool wait_until(Mutex& mutex, MonoTime until) REQUIRES(mutex) {
    mutex.probe_.wait_begins();
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    bool in_time = true;
    if (until == MonoTime::max()) {
      cond_.wait(lock);  // the library would overflow on this moment
    } else {
      in_time = cond_.wait_until(lock, until) == std::cv_status::no_timeout;
    }
    lock.release();
    mutex.probe_.wait_ends();
    return in_time;
  }
  void notify_one() { cond_.notify_one(); }
  void notify_all() { cond_.notify_all(); }

 private:
  std::condition_variable cond_;
};

}  // namespace netfs::sync
