// Goal: ranges of one owner replace, split and join each other as fcntl(2)'s do, and those of
// several exclude each other; compared with a table of bytes under many random calls.

#include "netfs/lock_ranges.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <random>

namespace netfs {
namespace {

LockedRange shared(uint64_t owner, uint64_t first, uint64_t last) {
  return {owner, LockMode::kShared, {first, last}, 0};
}
LockedRange exclusive(uint64_t owner, uint64_t first, uint64_t last) {
  return {owner, LockMode::kExclusive, {first, last}, 0};
}
LockedRange none(uint64_t owner, uint64_t first, uint64_t last) {
  return {owner, LockMode::kNone, {first, last}, 0};
}

TEST(LockRanges, OnlyOthersAreInTheWayAndOnlyWhereTheyOverlap) {
  LockRanges ranges;
  ranges.set(exclusive(1, 10, 19));
  EXPECT_FALSE(ranges.in_the_way(exclusive(1, 0, kLockEnd)).has_value());
  EXPECT_FALSE(ranges.in_the_way(exclusive(2, 0, 9)).has_value());
  EXPECT_FALSE(ranges.in_the_way(exclusive(2, 20, kLockEnd)).has_value());
  EXPECT_EQ(ranges.in_the_way(shared(2, 19, 19)), exclusive(1, 10, 19));
  EXPECT_FALSE(ranges.in_the_way(none(2, 0, kLockEnd)).has_value());
}

TEST(LockRanges, SharedOnesGoBesideEachOther) {
  LockRanges ranges;
  ranges.set(shared(1, 0, 9));
  EXPECT_FALSE(ranges.in_the_way(shared(2, 0, 9)).has_value());
  EXPECT_TRUE(ranges.in_the_way(exclusive(2, 9, 9)).has_value());
}

TEST(LockRanges, GivingBackTheMiddleLeavesTheEnds) {
  LockRanges ranges;
  ranges.set(exclusive(1, 0, kLockEnd));
  ranges.set(none(1, 100, 199));
  EXPECT_EQ(ranges.of(1), (std::vector{exclusive(1, 0, 99), exclusive(1, 200, kLockEnd)}));
  ranges.set(none(1, 0, kLockEnd));
  EXPECT_FALSE(ranges.has_any(1));
}

TEST(LockRanges, WhatTouchesIsOneAndAnotherModeSplits) {
  LockRanges ranges;
  ranges.set(shared(1, 0, 9));
  ranges.set(shared(1, 10, 19));
  EXPECT_EQ(ranges.of(1), (std::vector{shared(1, 0, 19)}));
  ranges.set(exclusive(1, 5, 14));
  EXPECT_EQ(ranges.count(), 3U);
  ranges.set(shared(1, 5, 14));
  EXPECT_EQ(ranges.of(1), (std::vector{shared(1, 0, 19)}));
}

TEST(LockRanges, AgreesWithATableOfBytes) {
  constexpr uint64_t kBytes = 24;
  constexpr uint64_t kOwners = 3;
  std::array<std::array<LockMode, kBytes>, kOwners> table{};
  LockRanges ranges;
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    uint64_t first = random() % kBytes;
    uint64_t last = random() % kBytes;
    if (first > last) std::swap(first, last);
    const LockedRange wanted{
        random() % kOwners, static_cast<LockMode>(random() % 3), {first, last}, 0};
    bool blocked = false;
    for (uint64_t owner = 0; owner < kOwners; ++owner) {
      for (uint64_t at = first; at <= last && owner != wanted.owner; ++at) {
        const LockMode held = table[owner][at];
        if (wanted.mode == LockMode::kExclusive) blocked |= held != LockMode::kNone;
        if (wanted.mode == LockMode::kShared) blocked |= held == LockMode::kExclusive;
      }
    }
    ASSERT_EQ(ranges.in_the_way(wanted).has_value(), blocked) << "round " << round;
    if (blocked) continue;
    ranges.set(wanted);
    for (uint64_t at = first; at <= last; ++at) table[wanted.owner][at] = wanted.mode;
    size_t runs = 0;
    for (const auto& bytes : table) {
      for (uint64_t at = 0; at < kBytes; ++at) {
        const LockMode before = at == 0 ? LockMode::kNone : bytes[at - 1];
        if (bytes[at] != LockMode::kNone && bytes[at] != before) ++runs;
      }
    }
    ASSERT_EQ(ranges.count(), runs) << "round " << round;
  }
}

TEST(LockRanges, EachOfThoseWhoShareItIsInTheWay) {
  LockRanges ranges;
  ranges.set(shared(1, 0, 9));
  ranges.set(shared(2, 5, 14));
  ranges.set(shared(3, 10, 19));
  EXPECT_EQ(ranges.owners_in_the_way(exclusive(4, 0, 9)), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(ranges.owners_in_the_way(exclusive(1, 0, 9)), (std::vector<uint64_t>{2}));
  EXPECT_TRUE(ranges.owners_in_the_way(shared(4, 0, 9)).empty());
}

// Made at once is as set in turn, and the later one counts.
TEST(LockRanges, MadeOfManyIsAsSetOneAfterTheOther) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::vector<LockedRange> ranges(random() % 12);
    LockRanges in_turn;
    for (LockedRange& range : ranges) {
      const uint64_t first = random() % 60;
      range = {1, static_cast<LockMode>(random() % 3), {first, first + random() % 8}, 0};
      in_turn.set(range);
    }
    const auto sorted = [](std::vector<LockedRange> all) {
      std::sort(all.begin(), all.end(), [](const LockedRange& a, const LockedRange& b) {
        return a.span.first < b.span.first;
      });
      return all;
    };
    ASSERT_EQ(sorted(LockRanges::made_of(ranges).of(1)), sorted(in_turn.of(1)))
        << "round " << round;
  }
}

TEST(LockRanges, WhatIsAddedToWhatAnOwnerHasIsSet) {
  LockRanges ranges;
  ranges.add({shared(1, 0, 9), shared(1, 20, 29)});
  ranges.add({exclusive(2, 40, 49)});
  EXPECT_EQ(ranges.count(), 3U);
  ranges.add({shared(1, 10, 19)});
  EXPECT_EQ(ranges.of(1), (std::vector{shared(1, 0, 29)}));
  ranges.add({});
  EXPECT_EQ(ranges.count(), 2U);
}

}  // namespace
}  // namespace netfs
