#include "fuse/placement.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "sync/thread.h"

namespace netfs::fuse {
namespace {

constexpr int kHome = 7;

TEST(PlacementPolicy, GoesToAProcessorOnlyWhenAllLooksAgree) {
  PlacementPolicy policy(kHome);
  for (unsigned i = 1; i < PlacementPolicy::kLooksThatMustAgree; ++i) {
    EXPECT_EQ(policy.decide(2), kHome) << i;
  }
  EXPECT_EQ(policy.decide(2), 2);
  EXPECT_EQ(policy.decide(3), kHome);
}

// Requests until the policy looks, at most `limit`.
unsigned requests_until_look(PlacementPolicy& policy, uint32_t pid, unsigned limit) {
  for (unsigned i = 1; i <= limit; ++i) {
    if (policy.wants_look(pid)) return i;
  }
  return limit + 1;
}

TEST(PlacementPolicy, LooksMoreAndMoreRarelyAtOneCaller) {
  PlacementPolicy policy(kHome);
  for (unsigned gap = PlacementPolicy::kGapMin; gap < PlacementPolicy::kGapMax; gap *= 2) {
    EXPECT_EQ(requests_until_look(policy, 42, 1000), gap);
    (void)policy.decide(1);
  }
  EXPECT_EQ(requests_until_look(policy, 42, 1000), PlacementPolicy::kGapMax);
  EXPECT_EQ(requests_until_look(policy, 42, 1000), PlacementPolicy::kGapMax);
}

TEST(PlacementPolicy, LooksSoonAtANewCallerButNotAtCallersThatTakeTurns) {
  PlacementPolicy policy(kHome);
  for (unsigned i = 0; i < 10 * PlacementPolicy::kGapMax; ++i) (void)policy.wants_look(42);
  EXPECT_LE(requests_until_look(policy, 43, 1000), PlacementPolicy::kGapMin);
  unsigned looks = 0;
  for (unsigned i = 0; i < 10 * PlacementPolicy::kGapMax; ++i) looks += policy.wants_look(i % 4);
  EXPECT_LE(looks, 17U);  // seven while the gap doubles, and one a kGapMax
}

TEST(PlacementPolicy, LooksSoonWhenItsOnlyCallerHasMoved) {
  PlacementPolicy policy(kHome);
  for (int i = 0; i < 20; ++i) {
    (void)requests_until_look(policy, 42, 1000);
    (void)policy.decide(1);
  }
  (void)requests_until_look(policy, 42, 1000);
  EXPECT_EQ(policy.decide(2), kHome);
  EXPECT_EQ(requests_until_look(policy, 42, 1000), PlacementPolicy::kGapMin);
}

TEST(Placement, FindsTheProcessorOfABoundThread) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(processor_of(static_cast<uint32_t>(::syscall(SYS_gettid))), cpu);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof allowed, &allowed), 0);
  EXPECT_EQ(processor_of(0), -1);
}

bool is_bound_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1 &&
         CPU_ISSET(cpu, &set);
}

// The caller is this thread, bound to each processor in turn; the server follows it there.
TEST(Placement, FollowsItsOnlyCaller) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  if (CPU_COUNT(&allowed) < 2) GTEST_SKIP() << "SKIPPED: one processor: there is nowhere to go";
  const auto caller = static_cast<uint32_t>(::syscall(SYS_gettid));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    bool followed = false;
    sync::Thread server("server", [&] {
      ASSERT_EQ(::sched_setaffinity(0, sizeof allowed, &allowed), 0);
      CallerWatch watch;
      Placement placement(0, watch);
      const MonoTime until = Clock::system().now() + std::chrono::seconds(20);
      while (!followed && Clock::system().now() < until) {
        placement.served(caller);
        followed = is_bound_to(cpu);
      }
    });
    server.join();
    EXPECT_TRUE(followed) << cpu;
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof allowed, &allowed), 0);
}

}  // namespace
}  // namespace netfs::fuse
