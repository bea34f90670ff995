#include "vfs/kept_writes.h"

#include <gtest/gtest.h>
#include <random>
#include <string>
#include <unistd.h>

#include "vfs/arena_kinds.h"
#include "vfs/limits.h"

namespace netfs::vfs {
namespace {

constexpr uint32_t kLayout = 3;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class Kept : public testing::Test {
 protected:
  void succeed() {
    UniqueFd fd(::dup(memory->fd()));
    kept.reset();
    memory = MUST(ArenaMemory::adopt(std::move(fd), kLayout));
    kept = std::make_unique<KeptWrites>(memory);
  }
  std::string copied(const KeptWrites::Left& left) {
    std::string bytes(left.range.length_bytes, '\0');
    const bool whole = kept->copy(left, std::as_writable_bytes(std::span(bytes)));
    return whole ? bytes : "damaged";
  }

  // Of the first chunk of a kind, from `at` on.
  std::span<uint8_t> chunk(uint8_t kind, size_t at = 0) {
    auto* bytes = static_cast<uint8_t*>(memory->chunks(kind).at(0));
    return std::span(bytes, ArenaMemory::kChunkBytes).subspan(at);
  }

  Ref<ArenaMemory> memory = ArenaMemory::create(kLayout).value();
  std::unique_ptr<KeptWrites> kept = std::make_unique<KeptWrites>(memory);
};

TEST_F(Kept, WhatWasNotRemovedIsLeftInOrderWithItsBytes) {
  std::mt19937_64 random(1);
  std::map<uint64_t, std::pair<uint64_t, std::string>> want;
  for (int i = 0; i < 300; ++i) {
    const size_t length = random() % 3 == 0 ? random() % 300'000 : random() % 20'000;
    const std::string bytes(length, static_cast<char>('a' + i % 26));
    const uint64_t number =
        kept->put(fuse::NodeId(i % 5 + 1), {random() % 1000, length}, bytes_of(bytes));
    want[number] = {i % 5 + 1, bytes};
    if (random() % 2 == 0) {
      const auto any = std::next(want.begin(), static_cast<ptrdiff_t>(random() % want.size()));
      kept->remove(any->first);
      want.erase(any);
    }
  }
  for (int process = 0; process < 2; ++process) {
    succeed();
    EXPECT_EQ(kept->count(), want.size());
    const std::vector<KeptWrites::Left> left = kept->left();
    ASSERT_EQ(left.size(), want.size());
    auto next = want.begin();
    for (const KeptWrites::Left& one : left) {
      ASSERT_EQ(one.number, next->first);
      EXPECT_EQ(one.node.value, next->second.first);
      ASSERT_EQ(copied(one), next->second.second);
      ++next;
    }
  }
  EXPECT_TRUE(kept->left().empty()) << "once";
  const uint64_t after = kept->put(fuse::NodeId(1), {0, 3}, bytes_of("new"));
  EXPECT_GT(after, want.rbegin()->first);
}

// Else a second death in the midst of it would leave the older bytes behind the newer ones.
TEST_F(Kept, OneThatIsWrittenAgainKeepsItsPlaceInTheOrder) {
  kept->put(fuse::NodeId(1), {0, 3}, bytes_of("one"));
  kept->put(fuse::NodeId(1), {0, 3}, bytes_of("two"));
  succeed();
  const KeptWrites::Left first = kept->left().front();
  kept->begin_again(first);
  EXPECT_EQ(kept->put(fuse::NodeId(1), {0, 3}, bytes_of("one")), first.number);
  EXPECT_TRUE(kept->end_again());
  kept->begin_again(first);
  EXPECT_FALSE(kept->end_again()) << "it was not kept";
  succeed();
  const std::vector<KeptWrites::Left> left = kept->left();
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(copied(left[0]), "one");
  EXPECT_EQ(copied(left[1]), "two");
}

TEST_F(Kept, PlacesAreUsedAgain) {
  const std::string large(1 << 20, 'x');
  for (int i = 0; i < 200; ++i) {
    kept->remove(kept->put(fuse::NodeId(1), {0, large.size()}, bytes_of(large)));
    kept->remove(kept->put(fuse::NodeId(1), {0, 100}, bytes_of(large).first(100)));
  }
  EXPECT_LT(memory->size_bytes(), 4U << 20);
  EXPECT_EQ(kept->count(), 0U);
}

TEST_F(Kept, TheLongestWriteAndAnEmptyOneAreKept) {
  const std::string longest(kWriteBytesMax, 'l');
  kept->put(fuse::NodeId(1), {5, longest.size()}, bytes_of(longest));
  kept->put(fuse::NodeId(1), {5, 0}, {});
  succeed();
  const std::vector<KeptWrites::Left> left = kept->left();
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(copied(left[0]), longest);
  EXPECT_EQ(copied(left[1]), "");
}

TEST_F(Kept, BytesThatAreDamagedAreNotGivenAndTheRestIs) {
  const std::string large(100'000, 'l');
  kept->put(fuse::NodeId(1), {0, 5}, bytes_of("small"));
  kept->put(fuse::NodeId(2), {0, large.size()}, bytes_of(large));
  kept->put(fuse::NodeId(3), {0, 5}, bytes_of("whole"));
  chunk(arena_kind::kSmallPieces)[2] ^= 0x10;
  chunk(arena_kind::kLargePieces)[70'000] ^= 0x01;
  succeed();
  const std::vector<KeptWrites::Left> left = kept->left();
  ASSERT_EQ(left.size(), 3U);
  EXPECT_EQ(copied(left[0]), "damaged");
  EXPECT_EQ(copied(left[1]), "damaged");
  EXPECT_EQ(copied(left[2]), "whole");
  EXPECT_EQ(left[1].node.value, 2U) << "who is told of it is known";
  for (const KeptWrites::Left& one : left) kept->remove(one.number);
  succeed();
  EXPECT_EQ(kept->count(), 0U);
}

// Whichever bit of a record it is: it is what it was, or nobody's.
TEST_F(Kept, OfARecordThatIsDamagedNobodyKnowsWhoseItWasUntilItIsRemoved) {
  constexpr size_t kRecordBytes = 40;
  for (size_t bit = 0; bit < kRecordBytes * 8; ++bit) {
    memory = ArenaMemory::create(kLayout).value();
    kept = std::make_unique<KeptWrites>(memory);
    kept->put(fuse::NodeId(5), {7, 3}, bytes_of("one"));
    const uint64_t last = kept->put(fuse::NodeId(6), {8, 3}, bytes_of("two"));
    chunk(arena_kind::kWrites)[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    for (int process = 0; process < 2; ++process) {
      succeed();
      const std::vector<KeptWrites::Left> left = kept->left();
      ASSERT_EQ(left.size(), 2U) << bit;
      EXPECT_EQ(left[0].node.value, 6U) << bit;
      EXPECT_EQ(copied(left[0]), "two") << bit;
      EXPECT_EQ(left[1].node.value, 0U) << bit;
      EXPECT_EQ(left[1].range.length_bytes, 0U) << bit;
      EXPECT_EQ(copied(left[1]), "damaged") << bit;
      if (process == 1) kept->remove(left[1].number);
    }
    EXPECT_EQ(kept->put(fuse::NodeId(9), {0, 3}, bytes_of("new")), last + 1) << bit;
    succeed();
    EXPECT_EQ(kept->count(), 2U) << bit;
  }
}

TEST_F(Kept, OneWhosePiecesAreNotKnownHasNoBytes) {
  kept->put(fuse::NodeId(5), {7, 3}, bytes_of("one"));
  kept->put(fuse::NodeId(6), {8, 3}, bytes_of("two"));
  chunk(arena_kind::kPieceIndices, 8)[0] ^= 1;
  succeed();
  const std::vector<KeptWrites::Left> left = kept->left();
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(left[0].node.value, 5U);
  EXPECT_EQ(copied(left[0]), "damaged");
  EXPECT_EQ(copied(left[1]), "two");
  kept->put(fuse::NodeId(7), {9, 3}, bytes_of("new"));
  kept->remove(left[0].number);
  succeed();
  EXPECT_EQ(copied(kept->left().back()), "new") << "nobody else's piece was given out twice";
}

}  // namespace
}  // namespace netfs::vfs
