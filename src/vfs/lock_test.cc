// Goal: locks at the origin, as a pretended kernel asks for them: who excludes whom, who waits and
// how that ends, and what closes give back.

#include <vector>

#include "vfs/limits.h"
#include "vfs/testing/lock_fixture.h"

namespace netfs::vfs {
namespace {

constexpr uint64_t kEnd = kLockEnd;

TEST_F(Lock, OwnersOfOneMountExcludeEachOtherByRanges) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), 0);
  EXPECT_EQ(lock(f_, h, 2, F_RDLCK, {0, 10}), EAGAIN);
  EXPECT_EQ(lock(f_, h, 2, F_WRLCK, {20, kEnd}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {15, 25}), EAGAIN);
  EXPECT_EQ(lock(g_, open_with(g_), 2, F_WRLCK, {10, 19}), 0) << "another file";
  // Less than it was, and the middle of it given back.
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK, {10, 19}), 0);
  EXPECT_EQ(lock(f_, h, 2, F_RDLCK, {10, 19}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), EAGAIN) << "two share it";
  EXPECT_EQ(lock(f_, h, 2, F_UNLCK, {12, 13}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {12, 13}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {11, 12}), EAGAIN);
}

TEST_F(Lock, WhatIsInTheWayIsTold) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), 0);
  const proto::FileLock ours = find(f_, h, 2, F_RDLCK, {0, kEnd});
  EXPECT_EQ(ours.type, static_cast<uint32_t>(F_WRLCK));
  EXPECT_EQ(ours.start, 10U);
  EXPECT_EQ(ours.end, 19U);
  EXPECT_EQ(ours.pid, 100U);
  EXPECT_EQ(find(f_, h, 1, F_WRLCK).type, static_cast<uint32_t>(F_UNLCK)) << "one's own";
  const Stranger other = stranger();
  EXPECT_EQ(other.set(LockMode::kShared, {30, 39}), 0);
  EXPECT_EQ(find(f_, h, 1, F_RDLCK).type, static_cast<uint32_t>(F_UNLCK)) << "both share it";
  const proto::FileLock theirs = find(f_, h, 1, F_WRLCK);
  EXPECT_EQ(theirs.type, static_cast<uint32_t>(F_RDLCK));
  EXPECT_EQ(theirs.start, 30U);
  EXPECT_EQ(theirs.end, 39U);
  EXPECT_EQ(await(send_lock(Opcode::kGetlk, f_, h, 1, F_UNLCK)).error, EINVAL);
  EXPECT_TRUE(wait_for_owners(1)) << "who only asks holds nothing";
}

TEST_F(Lock, SomebodyElseAtTheOriginExcludesAndIsExcluded) {
  start();
  const Stranger other = stranger();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(other.set(LockMode::kExclusive, {0, 9}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK, {5, 5}), EAGAIN);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), 0);
  EXPECT_EQ(other.set(LockMode::kShared, {19, 19}), EAGAIN);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {0, kEnd}), 0);
  EXPECT_EQ(other.set(LockMode::kShared, {19, 19}), 0);
  EXPECT_EQ(fs_->counters().locks.get(), 1U);
  EXPECT_EQ(fs_->counters().locks_refused.get(), 1U);
}

TEST_F(Lock, WhoWaitsForAnotherHereGetsItWhenThatIsGivenBack) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  const uint64_t waits = send_lock(Opcode::kSetlkw, f_, h, 2, F_WRLCK, {5, 5});
  ASSERT_TRUE(wait_for_waiters(1));
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {0, 4}), 0) << "not what is waited for";
  EXPECT_EQ(lock(f_, h, 3, F_RDLCK, {0, 4}), 0);
  EXPECT_EQ(fs_->sizes().lock_waiters, 1U);
  EXPECT_FALSE(kernel_->answered(waits));
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK, {5, 5}), 0) << "nor is that enough";
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {5, 5}), 0);
  EXPECT_EQ(await(waits).error, 0);
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK, {5, 5}), EAGAIN);
}

TEST_F(Lock, WhoWaitsForSomebodyElseGetsItWhenThatIsGivenBack) {
  start();
  const Stranger other = stranger();
  EXPECT_EQ(other.set(LockMode::kExclusive), 0);
  const uint64_t waits = send_lock(Opcode::kSetlkw, f_, open_with(f_), 1, F_WRLCK);
  ASSERT_TRUE(wait_for_waiters(1));
  ASSERT_TRUE(wait_for([&] { return locks_.counts().sets > 4; })) << "it asks again";
  EXPECT_FALSE(kernel_->answered(waits));
  EXPECT_EQ(other.set(LockMode::kNone), 0);
  EXPECT_EQ(await(waits).error, 0);
  EXPECT_EQ(other.set(LockMode::kShared), EAGAIN);
}

TEST_F(Lock, AnInterruptEndsTheWaitAndNothingIsLocked) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  const uint64_t here = send_lock(Opcode::kSetlkw, f_, h, 2, F_WRLCK);
  ASSERT_TRUE(wait_for_waiters(1));
  kernel_->interrupt(here);
  EXPECT_EQ(await(here).error, EINTR);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), 0);

  const Stranger other = stranger();
  EXPECT_EQ(other.set(LockMode::kExclusive), 0);
  const uint64_t there = send_lock(Opcode::kSetlkw, f_, h, 2, F_RDLCK);
  ASSERT_TRUE(wait_for_waiters(1));
  kernel_->interrupt(there);
  EXPECT_EQ(await(there).error, EINTR);
  EXPECT_EQ(other.set(LockMode::kNone), 0);
  EXPECT_TRUE(wait_for_owners(0));
  EXPECT_EQ(fs_->sizes().lock_waiters, 0U);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
}

TEST_F(Lock, AnInterruptThatComesWhileItIsTakenDoesNotLoseIt) {
  start();
  const uint64_t h = open_with(f_);
  locks_.hold();
  const uint64_t waits = send_lock(Opcode::kSetlkw, f_, h, 1, F_WRLCK);
  ASSERT_TRUE(locks_.wait_held(1));
  kernel_->interrupt(waits);
  kernel_->settle();
  locks_.release();
  EXPECT_EQ(await(waits).error, 0);
  EXPECT_EQ(lock(f_, h, 2, F_RDLCK), EAGAIN);
}

TEST_F(Lock, OwnersWhoWaitInACircleAreTold) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t other = open_with(g_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  EXPECT_EQ(lock(g_, other, 2, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(lock(g_, other, 3, F_WRLCK, {10, 19}), 0);
  const uint64_t two = send_lock(Opcode::kSetlkw, g_, other, 2, F_WRLCK, {10, 19});
  ASSERT_TRUE(wait_for_waiters(1));
  const uint64_t three = send_lock(Opcode::kSetlkw, f_, h, 3, F_RDLCK, {7, 7});
  ASSERT_TRUE(wait_for_waiters(2));
  EXPECT_EQ(await(send_lock(Opcode::kSetlkw, g_, other, 1, F_RDLCK, {0, 0})).error, EDEADLK);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), 0);
  EXPECT_EQ(await(three).error, 0);
  EXPECT_EQ(flush(g_, other, 3), 0);
  EXPECT_EQ(await(two).error, 0);
}

TEST_F(Lock, EachOfThoseWhoShareALockMayCloseTheCircle) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t other = open_with(g_);
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK), 0);
  EXPECT_EQ(lock(f_, h, 2, F_RDLCK), 0);
  EXPECT_EQ(lock(g_, other, 3, F_WRLCK), 0);
  const uint64_t three = send_lock(Opcode::kSetlkw, f_, h, 3, F_WRLCK);
  ASSERT_TRUE(wait_for_waiters(1));
  EXPECT_EQ(await(send_lock(Opcode::kSetlkw, g_, other, 2, F_RDLCK)).error, EDEADLK);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), 0);
  EXPECT_EQ(lock(f_, h, 2, F_UNLCK), 0);
  EXPECT_EQ(await(three).error, 0);
}

TEST_F(Lock, ACloseGivesBackTheRangesOfItsOwnerAndNobodyElses) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_, O_RDONLY);
  const Stranger other = stranger();
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(lock(f_, h, 2, F_WRLCK, {10, 19}), 0);
  EXPECT_EQ(flock(h, 1, F_WRLCK), 0);
  // By whichever descriptor, as POSIX has it.
  EXPECT_EQ(flush(f_, again, 1), 0);
  EXPECT_EQ(other.set(LockMode::kExclusive, {0, 9}), 0);
  EXPECT_EQ(other.set(LockMode::kExclusive, {10, 10}), EAGAIN);
  EXPECT_EQ(stranger(LockKind::kWhole).set(LockMode::kShared), EAGAIN) << "flock(2) stays";
}

TEST_F(Lock, TheLastCloseGivesBackWhatWasLockedThroughTheHandle) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_);
  EXPECT_EQ(flock(h, 11, F_WRLCK), 0);
  EXPECT_EQ(lock(f_, h, 11, F_WRLCK), 0) << "of an open file description";
  EXPECT_EQ(flock(again, 12, F_RDLCK), EAGAIN);
  EXPECT_EQ(flush(f_, h, 99), 0);
  EXPECT_EQ(flock(again, 12, F_RDLCK), EAGAIN) << "others may have it yet";
  close(f_, h);
  EXPECT_EQ(flock(again, 12, F_RDLCK), 0);
  EXPECT_EQ(stranger().set(LockMode::kExclusive), 0);
}

// FUSE tells of a last close later than of the close before it: who asks in between is not refused.
TEST_F(Lock, WhoAsksBetweenTheLastCloseAndItsReleaseGetsIt) {
  close_grace_ = fuse::FakeKernel::kPatience;  // a busy machine may tell late of the last close
  start();
  const uint64_t again = open_with(f_);
  for (const uint32_t flags : {proto::kLkFlock, uint32_t{0}}) {
    const uint64_t h = open_with(f_);
    EXPECT_EQ(lock(f_, h, 11, F_WRLCK, {}, flags), 0);
    EXPECT_EQ(flush(f_, h, 99), 0);
    const uint64_t asks = send_lock(Opcode::kSetlk, f_, again, 12, F_WRLCK, {}, flags);
    close(f_, h);
    EXPECT_EQ(await(asks).error, 0);
    EXPECT_EQ(lock(f_, again, 12, F_UNLCK, {}, flags), 0);
  }
}

// Each gives back what it has before it waits: so neither waits for the other.
TEST_F(Lock, TwoWhoShareAWholeFileAndWantItForThemselvesBothGetIt) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(flock(h, 1, F_RDLCK), 0);
  EXPECT_EQ(flock(h, 2, F_RDLCK), 0);
  const uint64_t one = send_lock(Opcode::kSetlkw, f_, h, 1, F_WRLCK, {}, proto::kLkFlock);
  ASSERT_TRUE(wait_for_waiters(1));
  const uint64_t two = send_lock(Opcode::kSetlkw, f_, h, 2, F_WRLCK, {}, proto::kLkFlock);
  // Whichever is first.
  ASSERT_TRUE(wait_for([&] { return kernel_->answered(one) || kernel_->answered(two); }));
  const bool first = kernel_->answered(one);
  EXPECT_EQ(await(first ? one : two).error, 0);
  EXPECT_EQ(flock(h, first ? 1 : 2, F_UNLCK), 0);
  EXPECT_EQ(await(first ? two : one).error, 0);
}

TEST_F(Lock, WhoWaitsHoldsNoThread) {
  start();
  const Stranger other = stranger();
  EXPECT_EQ(other.set(LockMode::kExclusive), 0);
  const uint64_t h = open_with(f_);
  std::vector<uint64_t> waiting;
  for (uint64_t owner = 1; owner <= 10 * (kLockThreads + kMetadataThreads); ++owner) {
    waiting.push_back(send_lock(Opcode::kSetlkw, f_, h, owner, F_RDLCK));
  }
  ASSERT_TRUE(wait_for([&] { return fs_->counters().locks_waited.get() == waiting.size(); }));
  EXPECT_EQ(lock(g_, open_with(g_), 1, F_WRLCK), 0);
  EXPECT_EQ(read(f_, h, 0, 5), "bytes");
  EXPECT_EQ(other.set(LockMode::kNone), 0);
  for (const uint64_t unique : waiting) EXPECT_EQ(await(unique).error, 0);
}

TEST_F(Lock, StoppingEndsTheWait) {
  start();
  const uint64_t h = open_with(f_);
  const Stranger other = stranger();
  EXPECT_EQ(other.set(LockMode::kExclusive), 0);
  const uint64_t there = send_lock(Opcode::kSetlkw, f_, h, 1, F_WRLCK);
  EXPECT_EQ(lock(g_, open_with(g_), 1, F_WRLCK), 0);
  const uint64_t here = send_lock(Opcode::kSetlkw, g_, open_with(g_), 2, F_WRLCK);
  ASSERT_TRUE(wait_for_waiters(2));
  fs_->stop();
  EXPECT_EQ(await(there).error, ECONNABORTED);
  EXPECT_EQ(await(here).error, ECONNABORTED);
  EXPECT_EQ(locks_.counts().holders, 1U) << "all is given back but the stranger's";
}

TEST_F(Lock, AHandleOfNobodyIsStale) {
  start();
  EXPECT_EQ(lock(f_, 12345, 1, F_WRLCK), ESTALE);
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, 77), EINVAL);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {9, 8}), EINVAL);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {UINT64_MAX, UINT64_MAX}), EINVAL);
}

TEST_F(Lock, AnOriginThatFailsIsToldOf) {
  start();
  const uint64_t h = open_with(f_);
  locks_.set_error(EIO);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), EIO);
  locks_.set_error(EDEADLK);
  EXPECT_EQ(await(send_lock(Opcode::kSetlkw, f_, h, 1, F_WRLCK)).error, EDEADLK);
  locks_.set_error(0);
  EXPECT_TRUE(wait_for_owners(0));
  EXPECT_EQ(lock(f_, h, 2, F_WRLCK), 0);
}

TEST_F(Lock, AFileThatWasReplacedAtTheOriginIsNotLocked) {
  start();
  const uint64_t h = open_with(f_, O_RDONLY);
  tree_.remove("f");
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK), ESTALE);
}

// Which is how an origin says that somebody has a lease on it.
TEST_F(Lock, WhoWaitsForSomebodysLeaseGetsItAfterThat) {
  start();
  const uint64_t h = open_with(f_);
  locks_.set_open_error(EAGAIN);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), EAGAIN);
  const uint64_t waits = send_lock(Opcode::kSetlkw, f_, h, 1, F_WRLCK);
  ASSERT_TRUE(wait_for_waiters(1));
  locks_.set_open_error(0);
  EXPECT_EQ(await(waits).error, 0);
  EXPECT_EQ(lock(f_, h, 2, F_RDLCK), EAGAIN);
}

class NoLocks : public Lock {
 protected:
  NoLocks() { session_options_.locks = false; }
};

TEST_F(NoLocks, NothingIsDifferentWhereTheKernelKeepsThem) {
  start();
  const Answer opened = call(Opcode::kOpen, f_, proto::OpenIn{.flags = O_RDONLY});
  EXPECT_NE(opened.as<proto::OpenOut>().open_flags & proto::kFopenNoflush, 0U);
}

class ReadOnlyLocks : public Lock {};

TEST_F(ReadOnlyLocks, AMountThatDoesNotWriteHasNone) {
  start(Options::Write::kNo);
  EXPECT_FALSE(fs_->has_locks());
}

}  // namespace
}  // namespace netfs::vfs
