// Goal: a supervisor knows by /proc what a dying worker is kept by, and what it dies of.

#include "daemon/stuck_worker.h"

#include <csignal>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace netfs::daemon {
namespace {

TEST(StuckWorker, ThreadsAtTheCacheAreKnownAlsoByTheNumberThatTheirQueueGivesThem) {
  for (const char* name : {"netfs-store", "netfs-commit", "netfs-control-0", "netfs-jwrite-0"}) {
    EXPECT_TRUE(is_at_the_cache(name)) << name;
  }
  // At the origin, or at the kernel, is not at the cache.
  for (const char* name : {"netfs-file-3", "netfs-meta-11", "netfs-notify", "netfs-notified",
                           "netfs-stored", "netfs", ""}) {
    EXPECT_FALSE(is_at_the_cache(name)) << name;
  }
}

TEST(StuckWorker, WhatAProcessDiedOfIsKnownBeforeItIsWaitedFor) {
  for (const int number : {SIGKILL, SIGTERM, 0}) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      if (number == 0) ::_exit(7);
      ::signal(number, SIG_DFL);
      ::raise(number);
      ::_exit(1);
    }
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
    const int before = wait_status_of(pid);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(before & ~WCOREFLAG, status & ~WCOREFLAG) << number;
  }
}

TEST(StuckWorker, AProcessThatIsAliveIsKeptByNothing) {
  EXPECT_FALSE(is_stuck_in_a_notification(::getpid()));
  EXPECT_FALSE(is_kept_by_its_cache(::getpid()));
}

}  // namespace
}  // namespace netfs::daemon
