// Goal: a process that is in a hurry goes before others, with all that it starts, until it is over.

#include "daemon/hurry.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "sync/cond_var.h"
#include "sync/lock_class.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::daemon {
namespace {

constinit sync::LockClass kWaitsLock{"test.hurry_waits"};

int nice_of(pid_t thread = 0) {
  return ::getpriority(PRIO_PROCESS, static_cast<id_t>(thread));
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

// A program that waits to be ended.
class Program {
 public:
  Program() {
    char name[] = "sleep";
    char time[] = "600";
    char* words[] = {name, time, nullptr};
    EXPECT_EQ(::posix_spawnp(&pid_, name, nullptr, nullptr, words, environ), 0);
  }
  ~Program() {
    if (pid_ < 0) return;
    (void)kill_process(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// A thread that waits to be ended.
class Waiting {
 public:
  Waiting()
      : thread_("test-waits", [this] {
          sync::MutexLock lock(mutex_);
          id_ = ::gettid();
          changed_.notify_all();
          while (!done_) changed_.wait(mutex_);
        }) {}
  ~Waiting() {
    {
      sync::MutexLock lock(mutex_);
      done_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  pid_t id() {
    sync::MutexLock lock(mutex_);
    while (id_ == 0) changed_.wait(mutex_);
    return id_;
  }

 private:
  sync::Mutex mutex_{kWaitsLock};
  sync::CondVar changed_;
  pid_t id_ GUARDED_BY(mutex_) = 0;
  bool done_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;
};

TEST(Hurry, IsOfAllThatIsStartedUntilItIsOver) {
  if (!may_hurry()) GTEST_SKIP() << "SKIPPED: needs CAP_SYS_NICE, for a nice value below 0";
  in_a_thread_at(0, [] {
    ASSERT_TRUE(begin_hurry());
    EXPECT_EQ(nice_of(), -20);
    Hurry hurry;
    Waiting thread;
    const Program program;
    EXPECT_EQ(nice_of(thread.id()), -20);
    EXPECT_EQ(nice_of(program.pid()), -20);
    hurry.end();
    EXPECT_EQ(nice_of(), 0);
    EXPECT_EQ(nice_of(thread.id()), 0);
    EXPECT_EQ(nice_of(program.pid()), 0);
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
    hurry.end();
    EXPECT_EQ(nice_of(), 0);
  });
}

TEST(Hurry, LeavesANiceValueThatSomebodyGave) {
  for (const int given : {19, -20}) {
    if (given < 0 && !may_hurry()) continue;
    in_a_thread_at(given, [given] {
      EXPECT_FALSE(begin_hurry());
      Hurry hurry;
      Waiting thread;
      EXPECT_EQ(nice_of(thread.id()), given);
      hurry.end();
      EXPECT_EQ(nice_of(), given);
      EXPECT_EQ(nice_of(thread.id()), given);
    });
  }
}

// As long as nobody takes it on, what is started is as ever.
TEST(Hurry, IsOfNobodyElse) {
  if (!may_hurry()) GTEST_SKIP() << "SKIPPED: needs CAP_SYS_NICE, for a nice value below 0";
  in_a_thread_at(0, [] {
    ASSERT_TRUE(begin_hurry());
    Waiting thread;
    EXPECT_EQ(nice_of(thread.id()), 0);
    Hurry().end();
    EXPECT_EQ(nice_of(), 0);
  });
}

}  // namespace
}  // namespace netfs::daemon
