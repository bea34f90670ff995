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

int nice_of_what_it_starts() {
  int is = -1;
  sync::Thread("test-started", [&is] { is = nice_now(); }).join();
  return is;
}

bool may_hurry() {
  bool may = false;
  sync::Thread("test-asks", [&may] { may = ::setpriority(PRIO_PROCESS, 0, -20) == 0; }).join();
  return may;
}

// In a thread of its own, whose nice value ends with it.
template <typename Body>
void in_a_thread_at(int nice, const Body& body) {
  sync::Thread("test-hurry", [nice, &body] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, nice), 0);
    body();
  }).join();
}

TEST(Hurry, IsOfOneThreadUntilItIsOver) {
  if (!may_hurry()) GTEST_SKIP() << "SKIPPED: needs CAP_SYS_NICE, for a nice value below 0";
  in_a_thread_at(0, [] {
    {
      const Hurry hurry;
      EXPECT_EQ(nice_now(), -20);
      EXPECT_EQ(nice_of_what_it_starts(), 0);
    }
    EXPECT_EQ(nice_now(), 0);
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
    end_hurry();
    EXPECT_EQ(nice_now(), 0);
  });
}

TEST(Hurry, LeavesANiceValueThatSomebodyGave) {
  for (const int given : {19, -20}) {
    if (given < 0 && !may_hurry()) continue;
    in_a_thread_at(given, [given] {
      {
        const Hurry hurry;
        EXPECT_EQ(nice_now(), given);
        EXPECT_EQ(nice_of_what_it_starts(), given);
      }
      EXPECT_EQ(nice_now(), given);
      end_hurry();
      EXPECT_EQ(nice_now(), given);
    });
  }
}

}  // namespace
}  // namespace netfs::daemon
