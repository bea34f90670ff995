// Goal: who holds a lock at the origin holds it on when another process serves his mount, or is
// told that he has lost it; and what was given back meanwhile is.

#include <unistd.h>
#include <vector>

#include "vfs/arena.h"
#include "vfs/arena_kinds.h"
#include "vfs/kept_writes.h"
#include "vfs/saved_locks.h"
#include "vfs/testing/lock_fixture.h"
#include "vfs/testing/test_keeper.h"

namespace netfs::vfs {
namespace {

class LockSuccession : public Lock {
 protected:
  int fsync(uint64_t handle) {
    return call(Opcode::kFsync, f_, proto::FsyncIn{.fh = handle}).error;
  }
  int truncate(uint64_t handle) {
    proto::SetattrIn in{};
    in.valid = proto::kSetSize | proto::kSetFh;
    in.fh = handle;
    return call(Opcode::kSetattr, f_, in).error;
  }
  int find_error(uint64_t handle, uint64_t owner) {
    return await(send_lock(Opcode::kGetlk, f_, handle, owner, F_WRLCK)).error;
  }
  uint64_t lost() { return fs_->counters().locks_lost.get(); }
};

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

class LocksKept : public LockSuccession {
 protected:
  DescriptorKeeper* keeper() override { return &keeper_; }
  // As a process that is killed: what it held is held by who keeps its descriptors.
  void be_killed() {
    locks_.die();
    die();
    locks_.live();
  }
  TestKeeper keeper_;
};

TEST_F(LocksKept, NobodyElseGetsThemBetweenTwoProcesses) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), 0);
  EXPECT_EQ(flock(h, 2, F_WRLCK), 0);
  EXPECT_EQ(lock(g_, open_with(g_), 3, F_WRLCK), 0);
  EXPECT_EQ(find_error(h, 4), 0);
  EXPECT_EQ(keeper_.count(), 3U) << "of who holds nothing none is kept";
  const size_t opens = locks_.counts().opens;
  const Stranger other = stranger();
  const Stranger whole = stranger(LockKind::kWhole);
  for (int process = 0; process < 3; ++process) {
    be_killed();
    EXPECT_EQ(other.set(LockMode::kShared, {10, 10}), EAGAIN);
    EXPECT_EQ(whole.set(LockMode::kShared), EAGAIN);
    follow();
    EXPECT_EQ(lost(), 0U);
    EXPECT_EQ(fs_->sizes().lock_owners, 3U);
    EXPECT_EQ(keeper_.count(), 3U);
  }
  EXPECT_EQ(locks_.counts().opens, opens + 2) << "the strangers alone";
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), 0);
  EXPECT_EQ(other.set(LockMode::kExclusive), 0);
  close(f_, h);
  EXPECT_EQ(whole.set(LockMode::kExclusive), 0);
  EXPECT_EQ(keeper_.count(), 1U);
}

TEST_F(LocksKept, WhatNobodyWasToldOfIsGivenBack) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(lock(f_, h, 2, F_WRLCK, {20, 29}), 0);
  be_killed();
  {
    SavedLocks saved(left_);
    for (const SavedLocks::Left& left : saved.left()) {
      if (left.owner.owner == 2) saved.forget(left.number);
      if (left.owner.owner != 1) continue;
      saved.set(left.number, left.owner, {{1, LockMode::kExclusive, {0, 4}, 100}});
    }
  }
  follow();
  const Stranger other = stranger();
  EXPECT_EQ(other.set(LockMode::kExclusive, {5, 9}), 0);
  EXPECT_EQ(other.set(LockMode::kExclusive, {4, 4}), EAGAIN);
  EXPECT_EQ(other.set(LockMode::kExclusive, {20, 29}), 0) << "though its descriptor may live on";
  EXPECT_EQ(keeper_.count(), 1U);
  EXPECT_EQ(fs_->sizes().lock_owners, 1U);
}

TEST_F(LocksKept, WhatWasTakenThroughAHandleThatIsDamagedIsLostWithWhatWasWrittenUnderIt) {
  start(Options::Write::kClose);
  const uint64_t h = open_with(f_);
  const uint64_t again = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  be_killed();
  Arena<HandleRecord> handles(left_, arena_kind::kHandles);
  for (uint32_t i = 0; i < handles.limit(); ++i) {
    if (handles[i].handle_id == h) handles[i].unique ^= 0x10;
  }
  const std::string bytes = "lost!";
  (void)KeptWrites(left_).put(f_, {0, bytes.size()}, std::as_bytes(std::span(bytes)));
  follow();
  EXPECT_EQ(lost(), 1U);
  EXPECT_EQ(keeper_.count(), 0U);
  EXPECT_EQ(fsync(again), EIO) << "whoever has the lock now may have written there";
  EXPECT_EQ(tree_.content("f"), "bytes");
  EXPECT_EQ(stranger().set(LockMode::kExclusive), 0);
  EXPECT_EQ(read(f_, h), "errno 5");
  EXPECT_EQ(lock(f_, again, 1, F_WRLCK), EIO) << "until he has given it back";
  succeed();
  EXPECT_EQ(lost(), 0U) << "by the process before";
  close(f_, h);
  EXPECT_TRUE(wait_for_owners(0));
  EXPECT_EQ(lock(f_, again, 1, F_WRLCK), 0);
}

// Somebody else may have had it, and given it back.
TEST_F(LocksKept, WhatWasNotKeptIsLost) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  die();
  for (const auto& [key, fd] : keeper_.take()) keeper_.drop(key);
  follow();
  EXPECT_EQ(lost(), 1U);
  EXPECT_EQ(stranger().set(LockMode::kExclusive), 0) << "nobody has it";
  EXPECT_EQ(write_to(f_, h, "other"), EIO);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), EIO);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  EXPECT_EQ(keeper_.count(), 1U) << "and is kept from now on";
}

TEST_F(LocksKept, OneThatCannotBeKeptIsHeldAndLostWithItsProcessUnlessItsOwnerLocksMore) {
  start();
  const uint64_t h = open_with(f_);
  const uint64_t other = open_with(g_);
  keeper_.refuse(2);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), 0);
  EXPECT_EQ(lock(g_, other, 3, F_WRLCK), 0);
  EXPECT_EQ(keeper_.count(), 0U);
  EXPECT_EQ(fs_->counters().locks_not_kept.get(), 2U);
  EXPECT_EQ(stranger().set(LockMode::kShared, {10, 10}), EAGAIN);
  EXPECT_EQ(lock(g_, other, 3, F_UNLCK), 0);
  EXPECT_EQ(keeper_.drops(), 0U) << "nothing was kept";
  EXPECT_EQ(lock(g_, other, 3, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(lock(g_, other, 3, F_WRLCK, {20, 29}), 0);
  EXPECT_EQ(keeper_.count(), 1U);
  be_killed();
  follow();
  EXPECT_EQ(lost(), 1U);
  EXPECT_EQ(read(f_, h), "errno 5");
  EXPECT_EQ(read(g_, other), "others");
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {10, 19}), EIO);
  keeper_.refuse(1);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {0, 9}), 0);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {20, 29}), 0);
  EXPECT_EQ(keeper_.count(), 2U) << "tried again";
  be_killed();
  follow();
  EXPECT_EQ(lost(), 0U);
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK), 0);
  EXPECT_EQ(keeper_.count(), 1U);
}

// By a service manager, to which a netfs between has said nothing.
TEST_F(LocksKept, WhatIsKeptOfAnotherFileIsNotTakenForIt) {
  start();
  const uint64_t h = open_with(f_);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK, {10, 19}), 0);
  EXPECT_EQ(lock(g_, open_with(g_), 3, F_WRLCK), 0);
  be_killed();
  keeper_.shift();
  follow();
  EXPECT_EQ(lost(), 2U);
  EXPECT_EQ(keeper_.count(), 0U);
  EXPECT_EQ(stranger().set(LockMode::kExclusive), 0) << "both are given back";
  EXPECT_EQ(read(f_, h), "errno 5");
  EXPECT_EQ(lock(f_, h, 1, F_UNLCK, {10, 19}), EIO);
  EXPECT_EQ(lock(f_, h, 1, F_WRLCK), 0);
  EXPECT_EQ(keeper_.count(), 1U);
}

}  // namespace
}  // namespace netfs::vfs
