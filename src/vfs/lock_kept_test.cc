// Goal: a lock whose descriptor is kept when its process dies is nobody else's in between, and what
// could not be kept, or is kept of something else, is lost and told.

#include <unistd.h>
#include <vector>

#include "vfs/arena.h"
#include "vfs/arena_kinds.h"
#include "vfs/kept_writes.h"
#include "vfs/saved_locks.h"
#include "vfs/testing/lock_succession_fixture.h"
#include "vfs/testing/test_keeper.h"

namespace netfs::vfs {
namespace {

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
