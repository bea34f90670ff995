#include "fuse/placement.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

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

TEST(PlacementPolicy, LooksRarelyAtOneCallerAndSoonAtAnother) {
  PlacementPolicy policy(kHome);
  unsigned looks = 0;
  for (unsigned i = 0; i < 10 * PlacementPolicy::kLookEvery; ++i) looks += policy.wants_look(42);
  EXPECT_GE(looks, 10U);
  EXPECT_LE(looks, 11U);
  while (!policy.wants_look(42)) {
  }
  for (unsigned i = 1; i < PlacementPolicy::kLookForStrangerAfter; ++i) {
    EXPECT_FALSE(policy.wants_look(43));
  }
  EXPECT_TRUE(policy.wants_look(43));
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

// The caller is this thread, bound to each processor in turn; the server follows it there.
TEST(Placement, FollowsItsOnlyCaller) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  if (CPU_COUNT(&allowed) < 2) GTEST_SKIP() << "one processor: there is nowhere to go";
  const auto caller = static_cast<uint32_t>(::syscall(SYS_gettid));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    int ended_on = -1;
    sync::Thread server("server", [&] {
      ASSERT_EQ(::sched_setaffinity(0, sizeof allowed, &allowed), 0);
      Placement placement(0);
      for (unsigned i = 0; i < PlacementPolicy::kLooksThatMustAgree * PlacementPolicy::kLookEvery;
           ++i) {
        placement.served(caller);
      }
      ended_on = ::sched_getcpu();
    });
    server.join();
    EXPECT_EQ(ended_on, cpu);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof allowed, &allowed), 0);
}

}  // namespace
}  // namespace netfs::fuse
