// Goal: what a batch may leave of a file half done is told from anything else.

#include "journal/batch_bytes.h"

#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <random>

namespace netfs::journal {
namespace {

Record write_at(uint64_t offset, uint64_t length) {
  return {.kind = RecordKind::kWrite, .range = {offset, length}};
}
Record cut_to(uint64_t size) {
  return {.kind = RecordKind::kSetAttributes, .change = {.size_bytes = size}};
}

TEST(BatchBytes, OlderBytesAreToldOfPiecesThatAreWrittenBelowTheOldEnd) {
  BatchBytes bytes(10000);
  bytes.add(write_at(8000, 4000), std::string(4000, 'x'));
  const std::vector<BatchBytes::Piece> pieces = bytes.pieces(12000);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0].range, (ByteRange{8000, 2000}));
  EXPECT_EQ(pieces[0].older, 0U);
  EXPECT_FALSE(pieces[0].above);
  EXPECT_EQ(pieces[1].range, (ByteRange{10000, 2000}));
  EXPECT_FALSE(pieces[1].older);
  EXPECT_TRUE(pieces[1].above);
  EXPECT_TRUE(bytes.holds(pieces[0], "xxx"));
  EXPECT_FALSE(bytes.holds(pieces[0], std::string(3, '\0')));
  EXPECT_TRUE(bytes.holds(pieces[1], std::string("x\0x", 3)));
  EXPECT_FALSE(bytes.holds(pieces[1], "y"));
}

TEST(BatchBytes, BehindACutAllIsOursOrZero) {
  BatchBytes bytes(10000);
  bytes.add(cut_to(100), "");
  bytes.add(write_at(200, 2), "ab");
  const std::vector<BatchBytes::Piece> pieces = bytes.pieces(202);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0].range, (ByteRange{100, 100}));
  EXPECT_TRUE(bytes.holds(pieces[0], std::string(100, '\0')));
  EXPECT_FALSE(bytes.holds(pieces[0], std::string(100, 'o')));
  EXPECT_TRUE(bytes.holds(pieces[1], "ab"));
  EXPECT_EQ(bytes.rest(), (std::vector<ByteRange>{{0, 100}})) << "what stays";
}

TEST(BatchBytes, TheRestIsWhatWasThereAndIsNotWrittenOver) {
  BatchBytes bytes(10000);
  bytes.add(write_at(9990, 100), std::string(100, 'x'));
  bytes.add(write_at(4000, 200), std::string(200, 'x'));
  bytes.add(write_at(4050, 10), std::string(10, 'x'));
  const std::vector<ByteRange> rest = {{0, 4000}, {4200, 3992}, {8192, 1798}};
  EXPECT_EQ(bytes.rest(), rest);
  EXPECT_TRUE(BatchBytes(0).rest()->empty());
  EXPECT_FALSE(BatchBytes(uint64_t{1} << 40).rest()) << "too long to be told";
}

// Beside a file to which the same is done.
TEST(BatchBytes, WhatIsKnownAfterwardsIsWhatIsThere) {
  std::mt19937_64 random(7);
  std::string file;
  KnownBlocks blocks;
  size_t known = 0;
  for (int round = 0; round < 300; ++round) {
    BatchBytes bytes(file.size());
    if (random() % 4 == 0) {
      const uint64_t size = random() % 60000;
      file.resize(size);
      bytes.add(cut_to(size), "");
    }
    for (uint64_t n = random() % 4; n > 0; --n) {
      uint64_t at = random() % 40000;
      uint64_t length = 1 + random() % 15000;
      if (random() % 2 == 0) at = round_down(at, kPieceBytes / 2), length = kPieceBytes / 2 * 3;
      const bool zeroes = random() % 4 == 0;
      const std::string data(length, static_cast<char>(zeroes ? 0 : 'a' + random() % 26));
      if (file.size() < at + length) file.resize(at + length);
      file.replace(at, length, data);
      const Record zero{
          .kind = RecordKind::kAllocate, .range = {at, length}, .mode = FALLOC_FL_ZERO_RANGE};
      bytes.add(zeroes ? zero : write_at(at, length), zeroes ? "" : data);
    }
    bytes.pass_on(blocks);
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (!blocks[i]) continue;
      ++known;
      ASSERT_EQ(*blocks[i], checksum_of(file.substr(i * kPieceBytes, kPieceBytes)))
          << "round " << round << ", block " << i;
    }
  }
  EXPECT_GT(known, 1000U);
}

// A record of zeroes is short, however long they are.
TEST(BatchBytes, ManyLongRangesOfZeroesAreFewPieces) {
  constexpr uint64_t kLong = 64 << 20;
  BatchBytes bytes(1000 * kLong);
  bytes.add(write_at(0, 10 * kPieceBytes), std::string(10 * kPieceBytes, 'x'));
  for (uint64_t i = 1; i < 256; ++i) {
    bytes.add({.kind = RecordKind::kAllocate,
               .range = {i * kLong, kLong - 1},
               .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
              "");
  }
  const std::vector<BatchBytes::Piece> pieces = bytes.pieces(1000 * kLong);
  EXPECT_LT(pieces.size(), kOlderPiecesMax);
  EXPECT_EQ(pieces.front().older, 0U);
  EXPECT_FALSE(pieces.back().older) << "nothing is told of what is long";
  for (const BatchBytes::Piece& piece : pieces) EXPECT_EQ(piece.changes.size(), 1U);
}

TEST(BatchBytes, OnlySizesOnTheWayMayBe) {
  BatchBytes bytes(1000);
  bytes.add(write_at(2000, 100), std::string(100, 'x'));
  bytes.add({.kind = RecordKind::kAllocate, .range = {3000, 10}}, "");
  for (const uint64_t size : {1000, 2001, 2100, 3010}) EXPECT_TRUE(bytes.may_be_of(size)) << size;
  for (const uint64_t size : {0, 999, 1500, 2000, 2101, 3011}) {
    EXPECT_FALSE(bytes.may_be_of(size)) << size;
  }
  EXPECT_FALSE(bytes.is_of_ours(1000));
  EXPECT_TRUE(bytes.is_of_ours(2100));
}

TEST(BatchBytes, ZeroesAndTheLaterOfTwoWritesAreOurs) {
  BatchBytes bytes(100);
  bytes.add(write_at(0, 4), "abcd");
  bytes.add(write_at(2, 4), "WXYZ");
  bytes.add({.kind = RecordKind::kAllocate,
             .range = {4, 8},
             .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
            "");
  std::string seen;
  for (const BatchBytes::Piece& piece : bytes.pieces(100)) {
    seen +=
        std::to_string(piece.range.offset_bytes) + "+" + std::to_string(piece.changes.size()) + " ";
    if (piece.range.offset_bytes == 2) {
      EXPECT_TRUE(bytes.holds(piece, "cX"));
      EXPECT_FALSE(bytes.holds(piece, "dX"));
    }
    if (piece.range.offset_bytes == 4) {
      EXPECT_TRUE(bytes.holds(piece, std::string("Y\0", 2)));
    }
  }
  EXPECT_EQ(seen, "0+1 2+2 4+2 6+1 ");
}

}  // namespace
}  // namespace netfs::journal
