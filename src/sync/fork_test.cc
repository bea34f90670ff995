// Forks in a validated program, from threads of ours: the hooks are in place, the child goes on,
// and a wait of the child for a lock that nobody can release is reported while it hangs.

#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <gtest/gtest.h>
#include <optional>
#include <pthread.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "sync/context.h"
#include "sync/lock_reports.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::sync {
namespace {

constexpr unsigned kSecondsMax = 60;
constexpr size_t kDepthMax = 12;  // of locks that are learnt at once
constexpr const char* kOrphaned = "lock held by thread that does not exist in child";

// Reports on stderr only: a file of one would count as this program's.
class ForkedProgram : public testing::Test {
 protected:
  ForkedProgram() { set_lock_report_folder(""); }
};

// A child whose stderr is read here.
struct Child {
  pid_t pid = -1;
  UniqueFd says;
};

// Ends this process, wherever it hangs; our threads block all signals.
void end_after(unsigned seconds) {
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  ::alarm(seconds);
}

Child start(const std::function<void()>& body) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  UniqueFd reads(ends[0]);
  const UniqueFd writes(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    end_after(kSecondsMax);
    ::dup2(writes.get(), STDERR_FILENO);
    body();
    ::_exit(0);
  }
  return {pid, std::move(reads)};
}

// What the child says until it has said `what`, or has ended.
std::string hear(const Child& child, const std::string& what) {
  std::string said;
  std::array<char, 4096> buffer{};
  while (what.empty() || said.find(what) == std::string::npos) {
    const ssize_t got = ::read(child.says.get(), buffer.data(), buffer.size());
    if (got <= 0) break;
    said.append(buffer.data(), static_cast<size_t>(got));
  }
  return said;
}

int end_of(const Child& child) {
  int status = -1;
  EXPECT_EQ(::waitpid(child.pid, &status, 0), child.pid);
  return status;
}

bool ended_well(const Child& child) {
  const int status = end_of(child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A thread that holds a lock until it is told to go.
class Holder {
 public:
  explicit Holder(Mutex& mutex)
      : thread_("holder", [this, &mutex] {
          MutexLock lock(mutex);
          holds_ = true;
          holds_.notify_all();
          go_.wait(false);
        }) {
    holds_.wait(false);
  }
  ~Holder() {
    go_ = true;
    go_.notify_all();
    thread_.join();
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  std::atomic<bool> holds_{false};
  std::atomic<bool> go_{false};
  Thread thread_;
};

TEST_F(ForkedProgram, AChildThatHangsOnALockOfAThreadThatIsNotThereSaysSo) {
  static constinit LockClass mine_class{"test.fork_mine"};
  static constinit LockClass others_class{"test.fork_others"};
  Mutex mine{mine_class};
  Mutex others{others_class};
  const Holder holder(others);
  MutexLock lock(mine);
  const Child child = start([&others]() NO_THREAD_SAFETY_ANALYSIS { others.lock(); });
  const std::string said = hear(child, "to silence it");
  EXPECT_NE(said.find(kOrphaned), std::string::npos) << said;
  EXPECT_NE(said.find("which holder/"), std::string::npos) << said;
  EXPECT_NE(said.find("(test.fork_mine)"), std::string::npos) << "it still holds that: " << said;
  EXPECT_EQ(kill_process(child.pid, SIGKILL), 0);
  EXPECT_EQ(end_of(child), SIGKILL) << "it hung";
}

TEST_F(ForkedProgram, AChildThatLeavesOrphanedLocksAloneIsSilent) {
  static constinit LockClass mine_class{"test.fork_silent_mine"};
  static constinit LockClass others_class{"test.fork_silent_others"};
  Mutex mine{mine_class};
  Mutex others{others_class};
  const Holder holder(others);
  MutexLock lock(mine);
  const Child child = start([&]() NO_THREAD_SAFETY_ANALYSIS {
    lock.unlock();
    { MutexLock again(mine); }
    if (others.try_lock()) ::_exit(1);
  });
  EXPECT_EQ(hear(child, ""), "");
  EXPECT_TRUE(ended_well(child));
}

// Takes all locks of a module at each fork, while `on`.
struct Module {
  static constinit LockClass first_class;
  static constinit LockClass second_class;
  static inline std::atomic<bool> on{false};
  static Mutex& first() {
    static Mutex mutex{first_class};
    return mutex;
  }
  static Mutex& second() {
    static Mutex mutex{second_class};
    return mutex;
  }
  static void lock_all() NO_THREAD_SAFETY_ANALYSIS {
    if (!on) return;
    first().lock();
    second().lock();
  }
  static void unlock_all() NO_THREAD_SAFETY_ANALYSIS {
    if (!on) return;
    second().unlock();
    first().unlock();
  }
};
constinit LockClass Module::first_class{"test.fork_first"};
constinit LockClass Module::second_class{"test.fork_second"};

TEST_F(ForkedProgram, TakingAllLocksAroundAForkIsSilentAndLeavesThemFree) {
  ASSERT_EQ(::pthread_atfork(Module::lock_all, Module::unlock_all, Module::unlock_all), 0);
  Module::on = true;
  std::atomic<bool> stop{false};
  Thread uses("uses", [&stop] {
    while (!stop) {
      MutexLock outer(Module::first());
      MutexLock inner(Module::second());
    }
  });
  for (int i = 0; i < 50; ++i) {
    const Child child = start([] {
      MutexLock outer(Module::first());
      MutexLock inner(Module::second());
    });
    ASSERT_EQ(hear(child, ""), "");
    ASSERT_TRUE(ended_well(child));
  }
  stop = true;
  uses.join();
  Module::on = false;
}

// Grows what a context holds, learns chains, makes classes and standing locks: takes every lock of
// the validator.  Nothing of the heap: AddressSanitizer's is not made ready for a fork, so that a
// child might wait for a lock of it for ever.
void learn_something_new(size_t depth) NO_THREAD_SAFETY_ANALYSIS {
  static constinit LockClass fault{"test.fork_fault", lockdep::kMapRules};
  const Context request(fault);
  const ContextScope scope(request);
  std::array<std::optional<LockClass>, kDepthMax> classes;
  std::array<std::optional<Mutex>, kDepthMax> locks;
  for (size_t i = 0; i < depth; ++i) {
    locks[i].emplace(classes[i].emplace("test.fork_new"));
    locks[i]->lock();
  }
  for (size_t i = depth; i-- > 0;) {
    locks[i]->unlock();
    locks[i].reset();
    lockdep::process().forget(*classes[i]);
    classes[i].reset();
  }
}

TEST_F(ForkedProgram, AForkOfAnyThreadWhileOthersLearnLeavesAChildThatCanLearn) {
  std::atomic<bool> stop{false};
  std::vector<Thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back("learns-" + std::to_string(i), [&stop] {
      while (!stop) Thread("short", [] { learn_something_new(8); }).join();
    });
  }
  Thread forks("forks", [] {
    for (int i = 0; i < 100; ++i) {
      const Child child = start([] { learn_something_new(kDepthMax); });
      ASSERT_EQ(hear(child, ""), "");
      ASSERT_TRUE(ended_well(child)) << "fork " << i;
    }
  });
  forks.join();
  stop = true;
  for (Thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace netfs::sync
