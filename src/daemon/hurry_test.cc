// Goal: a thread that is in a hurry goes before others, and nothing that it starts does.

#include "daemon/hurry.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include "sync/thread.h"

namespace netfs::daemon {
namespace {

int nice_now() {
  return ::getpriority(PRIO_PROCESS, 0);
}

// In a thread of its own, whose nice value ends with it.
template <typename Body>
void in_a_thread(const Body& body) {
  sync::Thread("test-hurry", body).join();
}

bool may_hurry() {
  bool may = false;
  in_a_thread([&may] { may = ::setpriority(PRIO_PROCESS, 0, -20) == 0; });
  return may;
}

TEST(Hurry, IsOfOneThreadUntilItIsOver) {
  if (!may_hurry()) GTEST_SKIP() << "SKIPPED: needs CAP_SYS_NICE, for a nice value below 0";
  in_a_thread([] {
    {
      const Hurry hurry;
      EXPECT_EQ(nice_now(), -20);
      in_a_thread([] { EXPECT_EQ(nice_now(), 0); });
    }
    EXPECT_EQ(nice_now(), 0);
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
    end_hurry();
    EXPECT_EQ(nice_now(), 0);
  });
}

TEST(Hurry, LeavesANiceValueThatSomebodyGave) {
  in_a_thread([] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 7), 0);
    {
      const Hurry hurry;
      EXPECT_EQ(nice_now(), 7);
      in_a_thread([] { EXPECT_EQ(nice_now(), 7); });
    }
    EXPECT_EQ(nice_now(), 7);
  });
}

}  // namespace
}  // namespace netfs::daemon
