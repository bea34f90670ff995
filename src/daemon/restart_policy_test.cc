#include "daemon/restart_policy.h"

#include <csignal>
#include <gtest/gtest.h>

#include "base/manual_clock.h"

namespace netfs::daemon {

namespace {

constexpr int kExitedWithOne = 1 << 8;  // as waitpid(2) encodes it

}  // namespace

TEST(RestartPolicy, KilledWorkerComesBackAtOnce) {
  RestartPolicy policy;
  ManualClock clock;
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(policy.died(SIGKILL, clock.now()), Duration(0));
    clock.advance(std::chrono::milliseconds(30));
  }
}

TEST(RestartPolicy, CrashingWorkerWaitsLongerEachTimeAndIsGivenUp) {
  RestartPolicy policy;
  ManualClock clock;
  Duration before{};
  for (size_t i = 0; i < RestartPolicy::kCrashesMax; ++i) {
    const std::optional<Duration> wait = policy.died(SIGSEGV, clock.now());
    ASSERT_TRUE(wait.has_value());
    EXPECT_GT(*wait, before);
    EXPECT_LE(*wait, RestartPolicy::kDelayMax);
    before = *wait;
  }
  EXPECT_FALSE(policy.died(kExitedWithOne, clock.now()).has_value());
}

TEST(RestartPolicy, RareCrashesAreNeverTooMany) {
  RestartPolicy policy;
  ManualClock clock;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(policy.died(SIGABRT, clock.now()), RestartPolicy::kDelayMin);
    clock.advance(std::chrono::seconds(61));
  }
}

}  // namespace netfs::daemon
