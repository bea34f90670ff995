// What the locks of this room tell the validator.  Each case provokes a report and looks for it in
// a folder of its own; the program goes on.

#include <atomic>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <stdlib.h>
#include <string>

#include "sync/cond_var.h"
#include "sync/context.h"
#include "sync/lock_reports.h"
#include "sync/mutex.h"
#include "sync/shared_mutex.h"
#include "sync/thread.h"
#include "sync/work_queue.h"

namespace netfs::sync {
namespace {

class Validated : public testing::Test {
 protected:
  Validated() {
    std::string name = testing::TempDir() + "validated-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    set_lock_report_folder(folder_);
  }
  ~Validated() override { std::filesystem::remove_all(folder_); }

  // All reports so far.
  [[nodiscard]] std::string reports() const {
    std::string all;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      all += text.str();
    }
    return all;
  }
  [[nodiscard]] bool reported(const std::string& what) const {
    return reports().find(what) != std::string::npos;
  }

  std::string folder_;
};

void set(std::atomic<bool>& flag) {
  flag = true;
  flag.notify_all();
}

constexpr const char* kCircle = "possible circular locking dependency detected";

TEST_F(Validated, AMutexTakenTwiceIsReportedBeforeItHangs) {
  static constinit LockClass lock_class{"test.twice"};
  Mutex one{lock_class};
  Mutex two{lock_class};
  MutexLock outer(one);
  MutexLock inner(two);  // the same class: the next pair may come the other way round
  EXPECT_TRUE(reported("possible recursive locking detected")) << reports();
}

TEST_F(Validated, ALockThatAJoinedThreadTakesIsACircle) {
  static constinit LockClass lock_class{"test.join"};
  Mutex mutex{lock_class};
  std::atomic<bool> done{false};
  Thread other("joined", [&] {
    { MutexLock lock(mutex); }
    set(done);
  });
  done.wait(false);  // else it would hang, one time in many
  MutexLock lock(mutex);
  other.join();
  EXPECT_TRUE(reported(kCircle)) << reports();
  EXPECT_TRUE(reported("thread joined")) << reports();
}

TEST_F(Validated, ALockThatQueuedWorkTakesMayNotBeHeldByWhoDrains) {
  static constinit LockClass lock_class{"test.drain"};
  Mutex mutex{lock_class};
  WorkQueue queue({.name = "drained", .threads = 1});
  ASSERT_TRUE(queue.post([&mutex] { MutexLock lock(mutex); }));
  EXPECT_TRUE(queue.drain(MonoTime::max()));
  EXPECT_EQ(reports(), "");
  MutexLock lock(mutex);
  EXPECT_TRUE(queue.drain(MonoTime::max()));
  EXPECT_TRUE(reported(kCircle)) << reports();
}

TEST_F(Validated, AWaitThatTakesItsMutexAgainUnderAnotherIsACircle) {
  static constinit LockClass outer_class{"test.wait_outer"};
  static constinit LockClass inner_class{"test.wait_inner"};
  Mutex outer{outer_class};
  Mutex inner{inner_class};
  CondVar changed;
  const auto take_both = [&](bool waits) {
    MutexLock outer_lock(outer);
    MutexLock inner_lock(inner);
    if (waits) (void)changed.wait_until(outer, Clock::system().now());
  };
  std::atomic<bool> done{false};
  Thread one("waits", [&] {
    take_both(true);
    set(done);
  });
  Thread two("takes", [&] {
    done.wait(false);
    take_both(false);
  });
  two.join();
  one.join();
  EXPECT_TRUE(reported(kCircle)) << reports();
}

TEST_F(Validated, TwoReadersInBothOrdersAndAWriterAreACircle) {
  static constinit LockClass first_class{"test.read_first"};
  static constinit LockClass second_class{"test.read_second"};
  SharedMutex first{first_class};
  SharedMutex second{second_class};
  std::atomic<bool> done{false};
  Thread one("reader-a", [&] {
    {
      ReaderLock outer(first);
      WriterLock inner(second);
    }
    set(done);
  });
  Thread two("reader-b", [&] {
    done.wait(false);
    ReaderLock outer(second);
    WriterLock inner(first);
  });
  two.join();
  one.join();
  EXPECT_TRUE(reported(kCircle)) << reports();
}

TEST_F(Validated, TheWriteSideUnderAFaultIsTheFoundingReport) {
  const Context fault(kFuseFault);
  std::atomic<bool> done{false};
  Thread other("completes", [&] {
    ContextScope scope(fault);  // belongs to the request, not to the thread that it came in by
    PseudoLock write_side(kCacheSbWriters);
    done = true;
  });
  other.join();
  EXPECT_TRUE(done);
  EXPECT_TRUE(reported(kCircle)) << reports();
  EXPECT_TRUE(reported("fuse.fault --> ") || reported("declared")) << reports();
}

TEST_F(Validated, WhatIsInOrderIsSilent) {
  static constinit LockClass outer_class{"test.outer"};
  static constinit LockClass inner_class{"test.inner"};
  Mutex mutex{outer_class};
  Mutex inner{inner_class};
  CondVar changed;
  bool go = false;
  const Context plain;
  WorkQueue queue({.name = "silent", .threads = 2});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(queue.post([&] {
      MutexLock lock(mutex);
      while (!go) changed.wait(mutex);
      MutexLock inner_lock(inner);
    }));
  }
  {
    const PseudoLock write_side(kCacheSbWriters);
    const ContextScope scope(plain);
    MutexLock lock(mutex);
    go = true;
    changed.notify_all();
  }
  queue.stop();
  EXPECT_EQ(reports(), "");
}

}  // namespace
}  // namespace netfs::sync
