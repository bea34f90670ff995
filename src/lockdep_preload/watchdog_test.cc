// Contexts that wait for each other, without locks behind them, and the real watchdog beside them.

#include "lockdep_preload/watchdog.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "lockdep/report_sample.h"
#include "lockdep/spin_lock.h"
#include "lockdep/test_support.h"
#include "lockdep_preload/control.h"

namespace netfs::lockdep_preload {
namespace {

using lockdep::Report;
using lockdep::SpinGuard;
using lockdep::SpinLock;
using testing::HasSubstr;

// What the watchdog's thread found.  Never destroyed: that thread never ends.
struct Found {
  SpinLock lock;
  std::string printed;
  std::atomic<int> proved{0};
  SpinLock showing;
  lockdep::FakeSymbolizer symbolizer;
  lockdep::Validator validator;
};
Found& found() {
  static Found& found = *new Found;
  return found;
}

void start() {
  found().validator.configure({.sink = [](void*, const Report& report) {
    if (report.verdict == lockdep::Verdict::kProved) ++found().proved;
  }});
  program_thread_begins();  // one that never ends
  start_watchdog({.interval_ms = 20,
                  .create =
                      [](void* thread, const void* attributes, Watchdog::Start start, void* of) {
                        return ::pthread_create(static_cast<pthread_t*>(thread),
                                                static_cast<const pthread_attr_t*>(attributes),
                                                start, of);
                      },
                  .validator = &found().validator,
                  .symbolizer = []() -> lockdep::Symbolizer& { return found().symbolizer; },
                  .lock = [] { found().showing.lock(); },
                  .unlock = [] { found().showing.unlock(); },
                  .print =
                      [](std::string_view text) {
                        const SpinGuard guard(found().lock);
                        found().printed += text;
                      }});
}

// Until `condition` holds, at most 20 s.
template <typename Condition>
bool eventually(const Condition& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::sched_yield();
  }
  return true;
}

// Of this process; the watchdog's thread may not have run yet.
std::string answer_to(std::string_view word) {
  std::string text;
  EXPECT_TRUE(eventually([&] {
    const Result<std::string> answer = ask(::getpid(), word);
    if (answer.ok()) text = answer.value();
    return answer.ok();
  }));
  // What its thread looked at comes before what we do now: ThreadSanitizer does not follow a socket
  // that was moved to another number.
  const SpinGuard behind(found().showing);
  return text;
}

class WatchdogTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { start(); }

  void take(lockdep::Context& context, const lockdep::Instance& lock) {
    validator_.acquire(context, lock, {}, found().symbolizer.add("take+0x8/0x20"));
  }

  lockdep::Validator& validator_ = found().validator;
  const lockdep::ClassKey key_a_{"a"};
  const lockdep::ClassKey key_b_{"b"};
  const lockdep::Instance a_{key_a_};
  const lockdep::Instance b_{key_b_};
};

TEST_F(WatchdogTest, ARealCircleIsProvedAndToldOnceAndADumpSaysWhoWaitsForWhom) {
  lockdep::Context one(validator_, "one", lockdep::ContextKind::kThread, 11);
  lockdep::Context two(validator_, "two", lockdep::ContextKind::kThread, 12);
  take(one, a_);
  take(two, b_);
  EXPECT_EQ(answer_to("dump"), "nobody waits for a lock\n");
  take(one, b_);
  validator_.contended(one, b_);
  // Not in a circle yet: a dump tells, the watchdog does not.
  EXPECT_THAT(answer_to("dump"), HasSubstr("one/11 waits for (b){+.}-{4:4}, held by two/12, at:\n"
                                           "      take+0x8/0x20\n"
                                           "  it holds (a){+.}-{4:4}, taken at:\n"));
  EXPECT_EQ(found().proved, 0);
  take(two, a_);
  validator_.contended(two, a_);
  EXPECT_TRUE(eventually([] {
    const SpinGuard guard(found().lock);
    return !found().printed.empty();
  }));
  EXPECT_GE(found().proved, 1);
  EXPECT_THAT(answer_to("dump"), HasSubstr("2 contexts wait for locks:"));
  {
    const SpinGuard guard(found().lock);
    EXPECT_EQ(found().printed.find("2 contexts wait"), found().printed.rfind("2 contexts wait"));
  }
  validator_.acquire_failed(two, a_, 1);
  validator_.acquire_failed(one, b_, 1);
  validator_.release(two, b_, 1);
  validator_.release(one, a_, 1);
}

TEST_F(WatchdogTest, StatisticsAreAnsweredAndUnknownWordsAreNot) {
  lockdep::Context one(validator_, "one");
  take(one, a_);
  EXPECT_THAT(answer_to("stat"), HasSubstr(" lock-classes:"));
  EXPECT_THAT(answer_to("stat"), HasSubstr("all lock classes:\n"));
  EXPECT_EQ(answer_to("quit"), "lockdep: a word that is not known\n");
  EXPECT_EQ(answer_to("dump"), "nobody waits for a lock\n");
  validator_.release(one, a_, 1);
}

TEST_F(WatchdogTest, AProcessWithoutWatchdogIsToldFromAnotherUsers) {
  const Result<std::string> nobody = ask(1, "dump");
  EXPECT_TRUE(nobody.is_error(ESRCH)) << nobody.code();
  (void)answer_to("dump");
  if (::geteuid() != 0) {
    std::puts("SKIPPED: needs root to become another user");
    GTEST_SKIP();
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(2);
    ::_exit(ask(::getppid(), "dump").is_error(EACCES) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace netfs::lockdep_preload
