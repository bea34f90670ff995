#include "tests/support/watchdog.h"

#include <cstdio>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/lock_classes.h"
#include "tests/support/process_states.h"

namespace netfs::test {

Watchdog::Watchdog(Duration bound, UniqueFunction<void()> rescue)
    : bound_(bound),
      rescue_(std::move(rescue)),
      mutex_(kWatchdogLock),
      thread_("watchdog", [this] { watch(); }) {}

Watchdog::~Watchdog() {
  sync::MutexLock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool Watchdog::ended_before(MonoTime until) {
  sync::MutexLock lock(mutex_);
  while (!ended_) {
    if (!changed_.wait_until(mutex_, until)) return ended_;
  }
  return true;
}

void Watchdog::watch() {
  if (ended_before(Clock::system().now() + bound_)) return;
  ADD_FAILURE() << "the test hangs: its time of "
                << std::chrono::duration_cast<std::chrono::seconds>(bound_).count()
                << " s is over; coming to its rescue.  What its threads and processes wait in:\n"
                << process_states();
  rescue_();
  if (ended_before(Clock::system().now() + std::chrono::seconds(30))) return;
  std::fprintf(stderr, "the test hangs in spite of its rescue; giving up.  What they wait in:\n%s",
               process_states().c_str());
  ::_exit(3);
}

}  // namespace netfs::test
