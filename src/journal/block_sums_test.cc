// Goal: of a file it is known what it holds as of one version, and of no more files than there is
// room for.

#include "journal/block_sums.h"

#include <gtest/gtest.h>

namespace netfs::journal {
namespace {

Validator version(const char* bytes) {
  return {ValidatorStrength::kStrong, bytes, {}};
}

TEST(BlockSums, WhatIsKnownIsKnownOfOneVersionAndTakenOnce) {
  BlockSums sums;
  sums.put(NodeId(5), version("a"), {1, std::nullopt, 3});
  sums.put(NodeId(6), version("a"), {9});
  EXPECT_EQ(sums.take(NodeId(5), version("a")), (KnownBlocks{1, std::nullopt, 3}));
  EXPECT_TRUE(sums.take(NodeId(5), version("a")).empty());
  EXPECT_TRUE(sums.take(NodeId(6), version("b")).empty());
  EXPECT_TRUE(sums.take(NodeId(6), version("a")).empty()) << "it is of no use any more";
}

TEST(BlockSums, TheFilesThatWerePutLastAreKept) {
  BlockSums sums(10);
  for (uint64_t node = 1; node <= 4; ++node) {
    sums.put(NodeId(node), version("a"), KnownBlocks(3, node));
  }
  sums.put(NodeId(5), version("a"), KnownBlocks(11, 5));
  EXPECT_TRUE(sums.take(NodeId(5), version("a")).empty()) << "longer than all that may be kept";
  EXPECT_TRUE(sums.take(NodeId(1), version("a")).empty());
  for (uint64_t node = 2; node <= 4; ++node) {
    EXPECT_EQ(sums.take(NodeId(node), version("a")), KnownBlocks(3, node)) << node;
  }
}

TEST(BlockSums, OfShortFilesOnlySoManyAreKept) {
  BlockSums sums;
  for (uint64_t node = 1; node <= kSummedFilesMax + 1; ++node) {
    sums.put(NodeId(node), version("a"), {1});
  }
  EXPECT_TRUE(sums.take(NodeId(1), version("a")).empty());
  EXPECT_FALSE(sums.take(NodeId(2), version("a")).empty());
}

}  // namespace
}  // namespace netfs::journal
