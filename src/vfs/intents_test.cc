// Goal: what was under way when a process died is found by the one after it, whole or not at all.

#include "vfs/intents.h"

#include <cstring>
#include <gtest/gtest.h>
#include <unistd.h>

#include "fuse/protocol.h"
#include "vfs/arena_kinds.h"
#include "vfs/inode_table.h"

namespace netfs::vfs {
namespace {

constexpr uint64_t kAgain = fuse::proto::kUniqueResend;
constexpr size_t kUnderWayFrom = 36;  // in a record: the last of it

Ref<ArenaMemory> make_memory() {
  return MUST(ArenaMemory::create(InodeTable::kLayout));
}
Ref<ArenaMemory> adopt(const ArenaMemory& memory) {
  return MUST(ArenaMemory::adopt(UniqueFd(::dup(memory.fd())), InodeTable::kLayout));
}
Intents::Before before_of(const std::string& name) {
  Intents::Before before;
  before.first = {.node_id = 9, .parent_id = 1, .flags = SavedNode::kListed, .name = name};
  before.second = {.parent_id = 2, .name = "to"};
  before.how = 3;
  return before;
}

TEST(Intents, AreFoundByTheNextProcessUntilTheyEnd) {
  const Ref<ArenaMemory> memory = make_memory();
  {
    Intents intents(memory);
    intents.begin(10, before_of("asked"));
    intents.begin(12, before_of("done"));
    intents.begin(14, before_of("refused"));
    intents.begin(16, before_of("ended"));
    const char body[] = "an answer";
    intents.done(12, 0, std::as_bytes(std::span(body)));
    intents.done(14, EEXIST, {});
    intents.end(16);
    EXPECT_FALSE(intents.left(10)) << "it is this process's own";
    EXPECT_EQ(intents.count(), 3U);
  }
  for (int process = 0; process < 2; ++process) {
    Intents intents(adopt(*memory));
    EXPECT_EQ(intents.all_left().size(), 3U);
    const std::optional<Intents::Left> asked = intents.left(10 | kAgain);
    ASSERT_TRUE(asked);
    EXPECT_FALSE(asked->done);
    EXPECT_EQ(asked->before.first.name, "asked");
    EXPECT_EQ(asked->before.first.flags, SavedNode::kListed);
    EXPECT_EQ(asked->before.second.parent_id, 2U);
    EXPECT_EQ(asked->before.how, 3U);
    const std::optional<Intents::Left> done = intents.left(12 | kAgain);
    ASSERT_TRUE(done);
    EXPECT_TRUE(done->done);
    EXPECT_EQ(done->error, 0);
    EXPECT_STREQ(done->answer.c_str(), "an answer");
    EXPECT_EQ(intents.left(14)->error, EEXIST);
    EXPECT_FALSE(intents.left(16));
    EXPECT_FALSE(intents.left(18));
  }
  Intents intents(adopt(*memory));
  for (const uint64_t unique : {10, 12, 14}) intents.end(unique | kAgain);
  EXPECT_EQ(intents.count(), 0U);
  EXPECT_EQ(Intents(adopt(*memory)).count(), 0U);
}

TEST(Intents, AsManyAsThereAre) {
  const Ref<ArenaMemory> memory = make_memory();
  Intents intents(memory);
  constexpr uint64_t kMany = 20'000;  // several chunks
  for (uint64_t i = 1; i <= kMany; ++i) intents.begin(2 * i, before_of(std::to_string(i)));
  Intents next(adopt(*memory));
  EXPECT_EQ(next.count(), kMany);
  EXPECT_EQ(next.left(2 * kMany)->before.first.name, std::to_string(kMany));
  for (uint64_t i = 1; i <= kMany; ++i) next.end(2 * i);
  const uint64_t size = memory->size_bytes();
  for (uint64_t i = 1; i <= kMany; ++i) next.begin(2 * i, before_of(std::to_string(i)));
  EXPECT_EQ(memory->size_bytes(), size) << "what ended is used again";
}

TEST(Intents, WhatIsDamagedIsLeftOutAndThatIsKnownFromThenOn) {
  const Ref<ArenaMemory> memory = make_memory();
  Intents intents(memory);
  intents.begin(10, before_of("hurt-here"));
  intents.begin(12, before_of("whole"));
  EXPECT_FALSE(Intents(adopt(*memory)).some_are_lost());
  int hurt = 0;
  for (uint8_t kind = 1; kind < 64; ++kind) {
    for (void* chunk : memory->chunks(kind)) {
      void* at = ::memmem(chunk, ArenaMemory::kChunkBytes, "hurt-here", 9);
      if (at == nullptr) continue;
      static_cast<char*>(at)[3] = 'x';
      ++hurt;
    }
  }
  ASSERT_EQ(hurt, 1);
  for (int process = 0; process < 2; ++process) {
    Intents next(adopt(*memory));
    EXPECT_TRUE(next.some_are_lost());
    EXPECT_FALSE(next.left(10));
    ASSERT_TRUE(next.left(12));
    EXPECT_EQ(next.left(12)->before.first.name, "whole");
    EXPECT_EQ(next.all_left().size(), 1U);
  }
  Intents next(adopt(*memory));
  next.begin(10, before_of("again"));
  EXPECT_EQ(Intents(adopt(*memory)).left(10)->before.first.name, "again");
}

// Whichever bit it is: of another change, another name or another answer nobody is told.
TEST(Intents, ARecordOfWhichABitIsAnotherIsLost) {
  constexpr size_t kRecordBytes = 40;
  const char body[] = "an answer";
  for (size_t bit = 0; bit < kUnderWayFrom * 8; ++bit) {
    const Ref<ArenaMemory> memory = make_memory();
    Intents intents(memory);
    intents.begin(16, before_of("one"));
    intents.begin(12, before_of("two"));
    intents.done(16, 0, std::as_bytes(std::span(body)));
    intents.done(12, EEXIST, {});
    auto* records = static_cast<uint8_t*>(memory->chunks(arena_kind::kIntents).at(0));
    for (const size_t of : {size_t{0}, kRecordBytes}) {
      records[of + bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
      Intents next(adopt(*memory));
      EXPECT_TRUE(next.some_are_lost()) << bit;
      EXPECT_FALSE(next.left(of == 0 ? 16 : 12)) << bit;
      EXPECT_EQ(next.all_left().size(), of == 0 ? 1U : 0U) << bit;
    }
  }
}

TEST(Intents, WhetherAProcessWasAtOneIsKnownToTheNext) {
  const Ref<ArenaMemory> memory = make_memory();
  Intents(memory).begin(10, before_of("asked"));
  const auto under_way = [&] { return Intents(adopt(*memory)).left(10)->under_way; };
  EXPECT_TRUE(under_way());
  Intents(adopt(*memory)).set_under_way(10, false);
  EXPECT_FALSE(under_way());
  Intents(adopt(*memory)).set_under_way(10 | kAgain, true);
  EXPECT_TRUE(under_way()) << "it was asked again";
  auto* record = static_cast<uint8_t*>(memory->chunks(arena_kind::kIntents).at(0));
  for (size_t bit = 0; bit < 32; ++bit) {
    uint8_t& byte = record[kUnderWayFrom + bit / 8];
    byte ^= static_cast<uint8_t>(1U << bit % 8);
    EXPECT_FALSE(under_way()) << bit;
    byte ^= static_cast<uint8_t>(1U << bit % 8);
  }
  EXPECT_TRUE(under_way());
}

TEST(Intents, ThatAProcessHasLostThoseOfTheOneBeforeIsKnownToTheOneBehindIt) {
  const Ref<ArenaMemory> memory = make_memory();
  EXPECT_TRUE(Intents(memory, /*lost=*/true).some_are_lost());
  Intents next(adopt(*memory));
  EXPECT_TRUE(next.some_are_lost());
  EXPECT_TRUE(next.all_left().empty());
}

}  // namespace
}  // namespace netfs::vfs
