#include "vfs/kept_writes.h"

#include <gtest/gtest.h>
#include <random>
#include <string>
#include <unistd.h>

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
    kept->copy(left, std::as_writable_bytes(std::span(bytes)));
    return bytes;
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

}  // namespace
}  // namespace netfs::vfs
