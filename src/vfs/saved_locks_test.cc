// Goal: what is saved of locks is found by the next process, whenever this one is killed.

#include "vfs/saved_locks.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <set>
#include <unistd.h>

#include "vfs/arena_kinds.h"
#include "vfs/intents.h"

namespace netfs::vfs {
namespace {

constexpr uint32_t kLayout = 4;
constexpr SavedLocks::Owner kOne{
    .node = fuse::NodeId(7), .handle = fuse::HandleId(70), .kind = LockKind::kRange, .owner = 700};

class Saved : public testing::Test {
 protected:
  void succeed() {
    UniqueFd fd(::dup(memory->fd()));
    saved.reset();
    memory = MUST(ArenaMemory::adopt(std::move(fd), kLayout));
    saved = std::make_unique<SavedLocks>(memory);
  }

  Ref<ArenaMemory> memory = ArenaMemory::create(kLayout).value();
  std::unique_ptr<SavedLocks> saved = std::make_unique<SavedLocks>(memory);
};

bool covers(const std::vector<LockedRange>& ranges, uint64_t at, LockMode mode) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const LockedRange& range) {
    return range.mode == mode && range.span.first <= at && at <= range.span.last;
  });
}

TEST_F(Saved, WhatOwnersHoldIsFoundByTheNextProcess) {
  const uint64_t one = saved->new_number();
  saved->set(one, kOne,
             {{700, LockMode::kExclusive, {0, 9}, 5}, {700, LockMode::kShared, {20, 29}, 6}});
  const uint64_t two = saved->new_number();
  SavedLocks::Owner whole{.node = fuse::NodeId(8),
                          .handle = fuse::HandleId(80),
                          .kind = LockKind::kWhole,
                          .owner = 800,
                          .lost = true};
  saved->set(two, whole, {{800, LockMode::kShared, {}, 7}});
  const uint64_t three = saved->new_number();
  saved->set(three, kOne, {{700, LockMode::kShared, {40, 49}, 5}});
  saved->forget(three);
  for (int process = 0; process < 2; ++process) {
    succeed();
    const std::vector<SavedLocks::Left> left = saved->left();
    ASSERT_EQ(left.size(), 2U);
    EXPECT_EQ(left[0].number, one);
    EXPECT_EQ(left[0].owner, kOne);
    ASSERT_EQ(left[0].ranges.size(), 2U);
    EXPECT_EQ(left[0].ranges[0], (LockedRange{700, LockMode::kExclusive, {0, 9}, 5}));
    EXPECT_EQ(left[0].ranges[1], (LockedRange{700, LockMode::kShared, {20, 29}, 6}));
    EXPECT_EQ(left[1].number, two);
    EXPECT_EQ(left[1].owner, whole);
    EXPECT_EQ(left[1].ranges, (std::vector<LockedRange>{{800, LockMode::kShared, {}, 7}}));
    EXPECT_TRUE(saved->left().empty()) << "told once";
  }
}

// What is kept somewhere by the number of one who is gone may be there still.
TEST_F(Saved, NumbersAreNotGivenTwice) {
  std::set<uint64_t> given;
  for (int process = 0; process < 20; ++process) {
    for (int i = 0; i < 20; ++i) {
      const uint64_t number = saved->new_number();
      EXPECT_TRUE(number != 0 && number >> SavedLocks::kNumberBits == 0) << number;
      EXPECT_TRUE(given.insert(number).second) << number;
      saved->set(number, kOne, {{700, LockMode::kShared, {0, 9}, 5}});
      saved->forget(number);
    }
    succeed();
  }
}

// In one memory, as in a mount.
TEST_F(Saved, NothingElseThatIsSavedIsTakenForALock) {
  {
    Intents intents(memory);
    for (uint64_t unique = 2; unique < 10; unique += 2) intents.begin(unique, {});
    const uint64_t number = saved->new_number();
    saved->set(number, kOne, {{700, LockMode::kExclusive, {0, 9}, 5}});
  }
  for (int process = 0; process < 2; ++process) {
    succeed();
    EXPECT_EQ(Intents(memory).all_left().size(), 4U);
    const std::vector<SavedLocks::Left> left = saved->left();
    ASSERT_EQ(left.size(), 1U);
    EXPECT_EQ(left[0].owner, kOne);
  }
}

TEST_F(Saved, WhatChangesIsAsItWasSavedLast) {
  std::mt19937_64 random(3);
  const uint64_t number = saved->new_number();
  LockRanges model;
  for (int i = 0; i < 500; ++i) {
    const uint64_t first = random() % 60;
    const auto mode = static_cast<LockMode>(random() % 3);
    model.set({700, mode, {first, first + random() % 20}, 5});
    SavedLocks::Owner owner = kOne;
    owner.handle = fuse::HandleId(70 + random() % 2);
    saved->set(number, owner, model.of(700));
    ASSERT_EQ(saved->count(), model.count());
    if (i % 50 != 49) continue;
    succeed();
    const std::vector<SavedLocks::Left> left = saved->left();
    ASSERT_EQ(left.size(), model.count() == 0 ? 0U : 1U);
    if (left.empty()) continue;
    EXPECT_EQ(left[0].owner, owner);
    for (uint64_t at = 0; at < 90; ++at) {
      for (const LockMode held : {LockMode::kShared, LockMode::kExclusive}) {
        ASSERT_EQ(covers(left[0].ranges, at, held), covers(model.of(700), at, held)) << at;
      }
    }
  }
}

// Between the new ones and the old, and one of several new ones.
TEST_F(Saved, AProcessThatIsKilledWithinAChangeLeavesWhatWasOrWhatIs) {
  const uint64_t number = saved->new_number();
  const LockedRange before{700, LockMode::kExclusive, {0, 99}, 5};
  const LockedRange after[] = {{700, LockMode::kExclusive, {0, 49}, 5},
                               {700, LockMode::kShared, {50, 59}, 5},
                               {700, LockMode::kExclusive, {60, 99}, 5}};
  for (int done = 0; done <= 3; ++done) {
    // As many of the new ones as were added, behind the old one.
    std::vector<LockedRange> so_far = {before};
    LockRanges expected;
    expected.set(before);
    saved->set(number, kOne, so_far);
    for (int i = 0; i < done; ++i) {
      so_far.push_back(after[i]);
      expected.set(after[i]);
      saved->set(number, kOne, so_far);
    }
    succeed();
    const std::vector<SavedLocks::Left> left = saved->left();
    ASSERT_EQ(left.size(), 1U);
    for (uint64_t at = 0; at < 100; ++at) {
      ASSERT_EQ(covers(left[0].ranges, at, LockMode::kExclusive),
                covers(expected.of(700), at, LockMode::kExclusive))
          << done << " " << at;
    }
    saved->forget(number);
  }
}

TEST_F(Saved, WhatIsDamagedIsLeftOut) {
  const uint64_t one = saved->new_number();
  saved->set(one, kOne, {{700, LockMode::kExclusive, {0, 9}, 5}});
  const uint64_t two = saved->new_number();
  saved->set(two, kOne, {{700, LockMode::kShared, {10, 19}, 5}});
  // Where the second one begins: behind its end.
  for (void* chunk : memory->chunks(arena_kind::kLocks)) {
    auto* words = static_cast<uint64_t*>(chunk);
    for (size_t i = 0; i < 64; ++i) {
      if (words[i] == 10 && words[i + 1] == 19) words[i] = 20;
    }
  }
  succeed();
  const std::vector<SavedLocks::Left> left = saved->left();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].number, one);
  EXPECT_EQ(saved->count(), 1U);
}

TEST_F(Saved, WhicheverBitOfARecordIsAnotherItIsSeen) {
  constexpr size_t kRecordBits = 68 * 8;
  saved->set(saved->new_number(), kOne, {{700, LockMode::kExclusive, {0, 9}, 5}});
  saved->forget(saved->new_number());
  EXPECT_TRUE(SavedLocks::are_whole(memory));
  auto* record = static_cast<uint8_t*>(memory->chunks(arena_kind::kLocks).at(0));
  for (size_t bit = 0; bit < kRecordBits; ++bit) {
    record[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    EXPECT_FALSE(SavedLocks::are_whole(memory)) << bit;
    record[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
  }
  EXPECT_TRUE(SavedLocks::are_whole(memory));
}

TEST_F(Saved, WhicheverBitOfTheSerialOfAFreeRecordIsAnotherItStaysFree) {
  const uint64_t one = saved->new_number();
  saved->set(one, kOne, {{700, LockMode::kExclusive, {0, 9}, 5}});
  const uint64_t gone = saved->new_number();
  saved->set(gone, kOne, {{700, LockMode::kShared, {20, 29}, 5}});
  saved->forget(gone);
  constexpr size_t kRecordBytes = 72;
  // The second one was used, the third never was.
  for (size_t bit = 0; bit < 2 * 64; ++bit) {
    auto* record = static_cast<uint8_t*>(memory->chunks(arena_kind::kLocks).at(0)) +
                   (1 + bit / 64) * kRecordBytes;
    record[bit % 64 / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    EXPECT_TRUE(SavedLocks::are_whole(memory)) << bit;
    succeed();
    EXPECT_EQ(saved->count(), 1U) << bit;
    ASSERT_EQ(saved->left().size(), 1U) << bit;
  }
}

}  // namespace
}  // namespace netfs::vfs
