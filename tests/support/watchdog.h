#pragma once
// Watchdog: frees a test that hangs.  When its time is over it says what all threads and processes
// of the test wait in, runs the rescues it was given (thaw a file system, abort a mount) and marks
// the test as failed; should the test still not end, it says so once more and the whole program
// exits.  A program that waits in a broken mount cannot be helped from the same thread.
//
//   Watchdog watchdog(std::chrono::seconds(30), [&] { mount.abort(); });

#include "base/clock.h"
#include "base/unique_function.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::test {

class Watchdog {
 public:
  Watchdog(Duration bound, UniqueFunction<void()> rescue);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void watch() EXCLUDES(mutex_);
  // Whether the test ended before `until`.
  bool ended_before(MonoTime until) EXCLUDES(mutex_);

  const Duration bound_;
  UniqueFunction<void()> rescue_;
  sync::Mutex mutex_;
  sync::CondVar changed_;
  bool ended_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;
};

}  // namespace netfs::test
