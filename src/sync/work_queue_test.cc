#include "sync/work_queue.h"

#include <atomic>
#include <gtest/gtest.h>
#include <set>
#include <thread>

namespace netfs::sync {
namespace {

constexpr LockClass kTestLock{"test"};

MonoTime in(int ms) {
  return Clock::system().now() + std::chrono::milliseconds(ms);
}
MonoTime soon() {
  return in(60'000);
}

TEST(WorkQueue, RunsEverythingPostedBeforeStop) {
  std::atomic<int> ran = 0;
  WorkQueue queue({.name = "test", .threads = 3});
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(queue.post([&ran] { ++ran; }));
  queue.stop();
  EXPECT_EQ(ran, 1000);
  EXPECT_FALSE(queue.post([] {}));
}

// Goal: all threads that were promised are there once there is work for them, and no more.
TEST(WorkQueue, AsManyWorkAtOnceAsWerePromised) {
  Mutex mutex{kTestLock};
  CondVar cond;
  int at_work = 0;
  bool go = false;
  WorkQueue queue({.name = "test", .threads = 4});
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(queue.post([&] {
      MutexLock lock(mutex);
      ++at_work;
      cond.notify_all();
      while (!go) cond.wait(mutex);
    }));
  }
  {
    MutexLock lock(mutex);
    while (at_work < 4) ASSERT_TRUE(cond.wait_until(mutex, in(10'000)));
  }
  EXPECT_EQ(queue.depth(), 2u);
  EXPECT_EQ(queue.unfinished(), 6u);
  {
    MutexLock lock(mutex);
    EXPECT_EQ(at_work, 4);
    go = true;
    cond.notify_all();
  }
  EXPECT_TRUE(queue.drain(in(10'000)));
  EXPECT_EQ(at_work, 6);
}

TEST(WorkQueue, ThreadsThatNobodyNeedsAreNotStarted) {
  Mutex mutex{kTestLock};
  std::set<std::thread::id> seen;
  WorkQueue queue({.name = "test", .threads = 50});
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(queue.post([&] {
      MutexLock lock(mutex);
      seen.insert(std::this_thread::get_id());
    }));
    ASSERT_TRUE(queue.drain(in(10'000)));
  }
  MutexLock lock(mutex);
  EXPECT_LE(seen.size(), 10u)
      << "one that works, one that waits, and those that were not woken up after their work yet";
}

// Goal: a full queue refuses and does not block.  Method: the only worker waits for us.
TEST(WorkQueue, RefusesWhatIsBeyondItsDepth) {
  Mutex mutex{kTestLock};
  CondVar cond;
  bool begun = false;
  bool go = false;
  WorkQueue queue({.name = "test", .threads = 1, .depth_max = 2});
  ASSERT_TRUE(queue.post([&] {
    MutexLock lock(mutex);
    begun = true;
    cond.notify_all();
    while (!go) cond.wait(mutex);
  }));
  {
    MutexLock lock(mutex);
    while (!begun) cond.wait(mutex);
  }
  EXPECT_TRUE(queue.post([] {}));
  EXPECT_TRUE(queue.post([] {}));
  EXPECT_FALSE(queue.post([] {}));
  {
    MutexLock lock(mutex);
    go = true;
    cond.notify_all();
  }
  EXPECT_TRUE(queue.drain(soon()));
  EXPECT_EQ(queue.depth(), 0u);
}

// Goal: what is due later comes later, in whichever order it was posted.  Method: the only worker
// waits until all is posted, however long that takes.
TEST(WorkQueue, DelayedWorkRunsInTheOrderOfItsTimes) {
  Mutex mutex{kTestLock};
  CondVar cond;
  std::string order;
  bool go = false;
  WorkQueue queue({.name = "test", .threads = 1});
  auto append = [&](char c) {
    return [&, c] {
      MutexLock lock(mutex);
      order += c;
      cond.notify_all();
    };
  };
  ASSERT_TRUE(queue.post([&] {
    MutexLock lock(mutex);
    while (!go) cond.wait(mutex);
  }));
  const MonoTime first = in(10);
  ASSERT_TRUE(queue.post_at(first + std::chrono::milliseconds(30), append('b')));
  ASSERT_TRUE(queue.post_at(first, append('a')));
  MutexLock lock(mutex);
  go = true;
  cond.notify_all();
  const MonoTime until = soon();
  while (order.size() < 2) ASSERT_TRUE(cond.wait_until(mutex, until));
  EXPECT_EQ(order, "ab");
}

TEST(WorkQueue, StopDropsDelayedWork) {
  bool ran = false;
  {
    WorkQueue queue({.name = "test", .threads = 1});
    ASSERT_TRUE(queue.post_at(in(3'600'000), [&ran] { ran = true; }));
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace netfs::sync
