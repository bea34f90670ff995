// Goal: who holds a lock at the origin holds it on when another process serves his mount, or is
// told that he has lost it; and what was given back meanwhile is.

#include <unistd.h>
#include <vector>

#include "vfs/arena.h"
#include "vfs/arena_kinds.h"
#include "vfs/kept_writes.h"
#include "vfs/saved_locks.h"
#include "vfs/testing/lock_succession_fixture.h"

namespace netfs::vfs {
namespace {

TEST_F(LockSuccession, WhatIsHeldIsHeldOn) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {12, 13}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_RDLCK, {18, 19}), 0);
  EXPECT_EQ(flock(h, 2, F_RDLCK), 0);
  EXPECT_EQ(lock(f_, h, 3, F_WRLCK, {30, 39}), 0);
  EXPECT_EQ(lock(f_, h, 3, F_UNLCK), 0);
  const Stranger other = stranger();
  const Stranger whole = stranger(LockKind::kWhole);
  for (int process = 0; process < 3; ++process) {
    succeed();
    EXPECT_EQ(lost(), 0U);
    EXPECT_EQ(fs_->sizes().lock_owners, 2U);
    EXPECT_EQ(other.set(LockMode::kShared, {11, 11}), EAGAIN);
    EXPECT_EQ(other.set(LockMode::kExclusive, {12, 13}), 0);
    EXPECT_EQ(other.set(LockMode::kShared, {14, 14}), EAGAIN);
    EXPECT_EQ(other.set(LockMode::kExclusive, {18, 18}), EAGAIN);
    EXPECT_EQ(other.set(LockMode::kShared, {18, 39}), 0);
    EXPECT_EQ(other.set(LockMode::kNone), 0);
    EXPECT_EQ(whole.set(LockMode::kExclusive), EAGAIN);
    EXPECT_EQ(lock(f_, h, 4, F_RDLCK, {10, 10}), EAGAIN);
    EXPECT_EQ(find(f_, h, 4, F_RDLCK).pid, 100U);
    EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 11}), 0) << "it is his";
    EXPECT_EQ(read(f_, h), "bytes");
  }
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), 0);
  EXPECT_EQ(flock(h, 2, F_UNLCK), 0);
  EXPECT_EQ(other.set(LockMode::kExclusive), 0);
  EXPECT_EQ(whole.set(LockMode::kExclusive), 0);
}

TEST_F(LockSuccession, WhoHasLostOneIsToldUntilHeHasGivenItBack) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {20, 29}), 0);
  const Stranger other = stranger();
  die();
  EXPECT_EQ(other.set(LockMode::kExclusive, {5, 5}), 0);
  follow();
  EXPECT_EQ(lost(), 1U);
  for (int process = 0; process < 2; ++process) {
    EXPECT_EQ(lock(f_, h, 1, F_RDLCK, {50, 50}), EIO);
    EXPECT_EQ(lock(f_, again, 1, F_RDLCK, {50, 50}), EIO) << "whichever handle";
    EXPECT_EQ(find_error(h, 1), EIO);
    EXPECT_EQ(read(f_, h), "errno 5");
    EXPECT_EQ(write_to(f_, h, "other"), EIO);
    EXPECT_EQ(fsync(h), EIO);
    EXPECT_EQ(truncate(h), EIO);
    EXPECT_EQ(read(f_, again), "bytes");
    EXPECT_EQ(lock(f_, again, 2, F_WRLCK, {20, 29}), 0) << "with one range he lost all";
    EXPECT_EQ(lock(f_, again, 2, F_UNLCK), 0);
    if (process == 0) succeed();
  }
  EXPECT_EQ(lost(), 0U) << "by the process before";
  EXPECT_EQ(tree_.content("f"), "bytes");
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {0, 9}), EIO);
  EXPECT_EQ(read(f_, h), "errno 5") << "there is more";
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {20, 29}), EIO);
  EXPECT_EQ(read(f_, h), "bytes");
  EXPECT_EQ(write_to(f_, h, "other"), 0);
  EXPECT_EQ(fsync(h), 0);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), EAGAIN);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {20, 29}), 0);
}

TEST_F(LockSuccession, ClosesTellOfWhatIsLost) {
  start();
  const uint64_t ranges = open_with(f_);
  const uint64_t whole = open_with(f_);
  EXPECT_EQ(lock(f_, ranges, 1, F_RDLCK), 0);
  EXPECT_EQ(flock(whole, 2, F_RDLCK), 0);
  die();
  const Stranger other = stranger();
  const Stranger other_whole = stranger(LockKind::kWhole);
  EXPECT_EQ(other.set(LockMode::kExclusive, {0, 0}), 0);
  EXPECT_EQ(other_whole.set(LockMode::kExclusive), 0);
  follow();
  EXPECT_EQ(lost(), 2U);
  EXPECT_EQ(flush(f_, ranges, 1), EIO);
  EXPECT_EQ(flush(f_, ranges, 1), 0) << "told, and given back by that";
  EXPECT_EQ(flush(f_, whole, 1), EIO);
  EXPECT_EQ(flush(f_, whole, 1), EIO) << "each descriptor of it";
  close(f_, ranges);
  close(f_, whole);
  EXPECT_TRUE(wait_for_owners(0));
  succeed();
  EXPECT_EQ(fs_->sizes().lock_owners, 0U);
}

TEST_F(LockSuccession, WhatIsClosedThenIsGivenBack) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(lock(f_, again, 2, F_WRLCK, {10, 19}), 0) << "of an open file description";
  EXPECT_EQ(flock(again, 2, F_WRLCK), 0);
  succeed();
  const Stranger other = stranger();
  EXPECT_EQ(flush(f_, h, 1), 0);
  EXPECT_EQ(other.set(LockMode::kExclusive, {0, 9}), 0);
  EXPECT_EQ(other.set(LockMode::kExclusive, {10, 10}), EAGAIN);
  close(f_, again);
  EXPECT_EQ(other.set(LockMode::kExclusive), 0);
  EXPECT_EQ(stranger(LockKind::kWhole).set(LockMode::kExclusive), 0);
  succeed();
  EXPECT_EQ(fs_->sizes().lock_owners, 0U);
}

// Whoever has the lock now may have written there since.
TEST_F(LockSuccession, WhatWasKeptUnderALostLockIsNotWrittenAndThatIsTold) {
  start(Options::Write::kClose);
  for (const bool taken : {false, true}) {
    const uint64_t h = open_with(f_);
    EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
    die();
    const std::string bytes = taken ? "lost!" : "mine!";
    (void)KeptWrites(left_).put(f_, {0, bytes.size()}, std::as_bytes(std::span(bytes)));
    const Stranger other = stranger();
    EXPECT_EQ(other.set(taken ? LockMode::kExclusive : LockMode::kNone), 0);
    follow();
    EXPECT_EQ(fsync(h), taken ? EIO : 0);
    EXPECT_EQ(flush(f_, h, 1), taken ? EIO : 0);
    EXPECT_EQ(tree_.content("f"), "mine!");
    close(f_, h);
  }
}

// What is lost is settled by the process that finds it: what others write later is theirs.
TEST_F(LockSuccession, WhatOthersWriteAfterALossIsNotDropped) {
  start(Options::Write::kClose);
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  die();
  {
    const Stranger other = stranger();
    EXPECT_EQ(other.set(LockMode::kExclusive), 0);
    follow();
  }
  EXPECT_EQ(lost(), 1U);
  EXPECT_EQ(fsync(h), EIO) << "and he does not give it back";
  EXPECT_EQ(lock(f_, again, 2, F_WRLCK), 0);
  die();
  const std::string bytes = "mine!";
  (void)KeptWrites(left_).put(f_, {0, bytes.size()}, std::as_bytes(std::span(bytes)));
  follow();
  EXPECT_EQ(fsync(again), 0);
  EXPECT_EQ(tree_.content("f"), "mine!");
}

TEST_F(LockSuccession, ALossThatIsNotSettledYetIsByTheNextProcess) {
  start(Options::Write::kClose);
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  die();
  {
    // As a process leaves it that is killed when it has found the loss.
    SavedLocks saved(left_);
    for (SavedLocks::Left& left : saved.left()) {
      left.owner.lost = left.owner.lost_now = true;
      saved.set(left.number, left.owner, left.ranges);
    }
    const std::string bytes = "lost!";
    (void)KeptWrites(left_).put(f_, {0, bytes.size()}, std::as_bytes(std::span(bytes)));
  }
  follow();
  EXPECT_EQ(fsync(again), EIO);
  EXPECT_EQ(tree_.content("f"), "bytes");
}

// As an origin does whose client was thrown out.
TEST_F(LockSuccession, WhatTheOriginTakesAwayIsLostAndItsHolderIsTold) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(flock(again, 2, F_WRLCK), 0);
  locks_.take_away();
  EXPECT_EQ(stranger().set(LockMode::kExclusive), 0);
  EXPECT_EQ(read(f_, h), "errno 5");
  EXPECT_EQ(write_to(f_, again, "other"), EIO);
  EXPECT_EQ(fsync(h), EIO);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {20, 29}), EIO);
  EXPECT_EQ(find_error(h, 1), EIO);
  EXPECT_EQ(lost(), 2U);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), EIO);
  EXPECT_EQ(read(f_, h), "bytes") << "he has heard of it";
  EXPECT_EQ(read(f_, again), "errno 5");
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(stranger().set(LockMode::kExclusive), EAGAIN);
  succeed();
  EXPECT_EQ(read(f_, again), "errno 5") << "in the next process, too";
  EXPECT_EQ(flock(again, 2, F_UNLCK), EIO);
  EXPECT_EQ(flock(again, 2, F_WRLCK), 0);
}

// Whoever waits there may have had it before this process has asked.
TEST_F(LockSuccession, WhatEndsWithItsProcessIsLostThoughItIsFree) {
  origin_.end_locks_with_process();
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  succeed();
  EXPECT_EQ(lost(), 1U);
  EXPECT_EQ(stranger().set(LockMode::kExclusive), 0) << "nobody has it";
  EXPECT_EQ(write_to(f_, h, "other"), EIO);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), EIO);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
}

}  // namespace
}  // namespace netfs::vfs
