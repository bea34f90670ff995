#include "vfs/arena.h"

#include <gtest/gtest.h>
#include <set>
#include <string>
#include <unistd.h>

#include "vfs/bytes_arena.h"

namespace netfs::vfs {
namespace {

constexpr uint32_t kLayout = 7;
constexpr uint8_t kKind = 1;

UniqueFd copy_of(const ArenaMemory& memory) {
  return UniqueFd(::dup(memory.fd()));
}

struct Record {
  uint64_t value;
  uint64_t other;
};

TEST(ArenaMemory, WhatOneProcessLeavesTheNextOneFinds) {
  UniqueFd fd;
  {
    const Ref<ArenaMemory> memory = MUST(ArenaMemory::create(kLayout));
    Arena<Record> arena(memory, kKind);
    for (uint64_t i = 0; i < 40'000; ++i) arena[arena.allocate()].value = i;
    EXPECT_FALSE(memory->adopted());
    fd = copy_of(*memory);
  }
  const Ref<ArenaMemory> memory = MUST(ArenaMemory::adopt(std::move(fd), kLayout));
  EXPECT_TRUE(memory->adopted());
  Arena<Record> arena(memory, kKind);
  ASSERT_GE(arena.limit(), 40'000U);
  for (uint32_t i = 0; i < 40'000; ++i) ASSERT_EQ(arena[i].value, i);
  Arena<Record> other(memory, kKind + 1);
  EXPECT_EQ(other.limit(), 0U);
}

TEST(ArenaMemory, WhatIsOfAnotherFormOrDamagedIsRefusedWithASentence) {
  const Ref<ArenaMemory> memory = MUST(ArenaMemory::create(kLayout));
  (void)memory->add_chunk(kKind);
  const auto refused = [&](uint32_t layout, const char* why) {
    const Result<Ref<ArenaMemory>> adopted = ArenaMemory::adopt(copy_of(*memory), layout);
    ASSERT_TRUE(adopted.is_error(EPROTO)) << why;
    EXPECT_NE(adopted.error().message().find(why), std::string::npos) << adopted.error().message();
  };
  refused(kLayout + 1, "another version");
  // The kind of the first chunk, behind the header's fixed part.
  constexpr off_t kKindAt = 64;
  ASSERT_EQ(::pwrite(memory->fd(), "", 1, kKindAt), 1);
  refused(kLayout, "damaged");
  const char kind = kKind;
  ASSERT_EQ(::pwrite(memory->fd(), &kind, 1, kKindAt), 1);
  EXPECT_TRUE(ArenaMemory::adopt(copy_of(*memory), kLayout).ok());
  // A kind that there is as well, and how many chunks there are.
  for (const off_t at : {kKindAt, off_t{16}}) {
    char was = 0;
    ASSERT_EQ(::pread(memory->fd(), &was, 1, at), 1);
    const char is = static_cast<char>(was ^ 2);
    ASSERT_EQ(::pwrite(memory->fd(), &is, 1, at), 1);
    refused(kLayout, "damaged");
    ASSERT_EQ(::pwrite(memory->fd(), &was, 1, at), 1);
  }
  EXPECT_TRUE(ArenaMemory::adopt(copy_of(*memory), kLayout).ok());
  ASSERT_EQ(::ftruncate(memory->fd(), static_cast<off_t>(memory->size_bytes() - 4096)), 0);
  refused(kLayout, "cut short");
  ASSERT_EQ(::ftruncate(memory->fd(), 100), 0);
  refused(kLayout, "cut short");
}

// Both ways: what one of them does not know it leaves alone, and what the other one finds of its
// own after that is empty.
TEST(ArenaMemory, TwoFormsThatDifferInAnAdditionGoOnWithWhatTheOtherLeaves) {
  constexpr uint8_t kAdded[] = {kKind + 7};
  const ArenaForm older(kLayout);
  const ArenaForm newer(kLayout, kAdded);
  const auto added_byte = [&](const ArenaMemory& memory) -> char& {
    return *static_cast<char*>(memory.chunks(kAdded[0]).at(0));
  };
  Ref<ArenaMemory> memory = MUST(ArenaMemory::create(older));
  {
    Arena<Record> arena(memory, kKind);
    arena[arena.allocate()].value = 42;
  }
  const auto go_on_as = [&](const ArenaForm& form) {
    memory = MUST(ArenaMemory::adopt(copy_of(*memory), form));
    Arena<Record> arena(memory, kKind);
    EXPECT_EQ(arena[0].value, 42U);
  };
  go_on_as(newer);
  added_byte(*memory) = 1;
  go_on_as(newer);
  EXPECT_EQ(added_byte(*memory), 1);
  go_on_as(older);
  (void)memory->add_chunk(kKind);
  EXPECT_EQ(added_byte(*memory), 1) << "who does not know it leaves it alone";
  go_on_as(newer);
  EXPECT_EQ(added_byte(*memory), 0) << "it is from before the other one served";
  EXPECT_EQ(memory->chunks(kKind).size(), 2U);
  EXPECT_EQ(memory->chunks(kAdded[0]).size(), 1U);
}

TEST(BytesArena, HoldsStringsOfAllLengthsAndGivesTheirPlacesOutAgain) {
  BytesArena arena(MUST(ArenaMemory::create(kLayout)), kKind);
  std::vector<uint32_t> numbers;
  std::set<uint32_t> different;
  for (size_t length = 0; length <= BytesArena::kBytesMax; ++length) {
    numbers.push_back(arena.put(std::string(length, static_cast<char>('a' + length % 26))));
    EXPECT_NE(numbers.back(), 0U);
    different.insert(numbers.back());
  }
  EXPECT_EQ(different.size(), numbers.size());
  EXPECT_EQ(arena.in_use(), numbers.size());
  for (size_t length = 0; length < numbers.size(); ++length) {
    ASSERT_EQ(arena.get(numbers[length]), std::string(length, 'a' + length % 26));
  }
  arena.free(numbers[100]);
  EXPECT_EQ(arena.put(std::string(101, 'x')), numbers[100]);
  EXPECT_EQ(arena.get(0), "");
  EXPECT_EQ(arena.get(UINT32_MAX), "");
}

TEST(BytesArena, AfterARestartWhatNobodyNamesIsFreeAndTheRestStays) {
  const Ref<ArenaMemory> memory = MUST(ArenaMemory::create(kLayout));
  std::vector<uint32_t> used;
  std::set<uint32_t> unused;
  {
    BytesArena arena(memory, kKind);
    for (int i = 0; i < 5000; ++i) {
      const uint32_t number = arena.put("text " + std::to_string(i));
      if (i % 3 == 0) used.push_back(number);
      if (i % 3 != 0) unused.insert(number);
    }
  }
  BytesArena arena(MUST(ArenaMemory::adopt(copy_of(*memory), kLayout)), kKind);
  arena.keep_only(used);
  EXPECT_EQ(arena.in_use(), used.size());
  for (size_t i = 0; i < unused.size(); ++i) {
    const uint32_t number = arena.put("new");
    EXPECT_EQ(std::count(used.begin(), used.end(), number), 0);
  }
  for (size_t i = 0; i < used.size(); ++i) {
    ASSERT_EQ(arena.get(used[i]), "text " + std::to_string(3 * i));
  }
}

// Else one bit of a number may lead to bytes that were somebody's before.
TEST(BytesArena, WhatIsFreeIsEmpty) {
  const Ref<ArenaMemory> memory = MUST(ArenaMemory::create(kLayout));
  BytesArena before(memory, kKind);
  const uint32_t freed = before.put("one");
  const uint32_t left = before.put("two");
  const uint32_t kept = before.put("three");
  before.free(freed);
  EXPECT_EQ(before.get(freed), "");
  BytesArena arena(MUST(ArenaMemory::adopt(copy_of(*memory), kLayout)), kKind);
  EXPECT_EQ(arena.get(freed), "");
  EXPECT_EQ(arena.get(left), "two");
  arena.keep_only({kept});
  EXPECT_EQ(arena.get(left), "");
  EXPECT_EQ(arena.get(kept), "three");
  EXPECT_EQ(arena.put("four"), freed);
  EXPECT_EQ(arena.get(freed), "four");
}

TEST(BytesArena, WhatIsDamagedIsEmpty) {
  const Ref<ArenaMemory> memory = MUST(ArenaMemory::create(kLayout));
  BytesArena arena(memory, kKind);
  const uint32_t number = arena.put("some text");
  auto* chunk = static_cast<char*>(memory->chunks(kKind)[0]);
  chunk[8] ^= 1;
  EXPECT_EQ(arena.get(number), "");
  chunk[8] ^= 1;
  EXPECT_EQ(arena.get(number), "some text");
  chunk[1] = 1;  // its length
  EXPECT_EQ(arena.get(number), "");
}

}  // namespace
}  // namespace netfs::vfs
