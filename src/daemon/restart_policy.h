#pragma once
// RestartPolicy: how soon a dead worker is started again, and when to give up.  Pure.
//
// A worker killed by SIGKILL (a person, the OOM killer) did nothing wrong: it is started again at
// once.  One that crashed or failed waits twice as long each time, from 10 ms to 5 s, and after
// kCrashesMax of those within a minute nobody should wait for it any longer.
//
//   std::optional<Duration> wait = policy.died(wait_status, clock.now());   // nullopt: give up

#include <deque>
#include <optional>

#include "base/clock.h"

namespace netfs::daemon {

class RestartPolicy {
 public:
  static constexpr size_t kCrashesMax = 8;
  static constexpr size_t kKillsMax = 1000;
  static constexpr Duration kWindow = std::chrono::minutes(1);
  static constexpr Duration kDelayMin = std::chrono::milliseconds(10);
  static constexpr Duration kDelayMax = std::chrono::seconds(5);

  // `wait_status` as of waitpid(2).
  std::optional<Duration> died(int wait_status, MonoTime now);

 private:
  std::deque<MonoTime> crashes_;  // of the last minute, oldest first
  std::deque<MonoTime> kills_;
};

}  // namespace netfs::daemon
