#include "fuse/encode.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace netfs::fuse {
namespace {

const Attr kAttr{.ino = 100,
                 .size_bytes = 1 << 20,
                 .blocks_512 = 2048,
                 .atime = {1, 2},
                 .mtime = {-3, 4},
                 .ctime = {5, 6},
                 .mode = S_IFREG | 0640,
                 .link_count = 3,
                 .uid = 7,
                 .gid = 8};

TEST(Encode, EntryCarriesNodeValidityAndAttributes) {
  const proto::EntryOut out = entry_out({.node = NodeId(9),
                                         .generation = 2,
                                         .entry_valid = std::chrono::milliseconds(1500),
                                         .attr_valid = kForever,
                                         .attr = kAttr});
  EXPECT_EQ(out.nodeid, 9U);
  EXPECT_EQ(out.generation, 2U);
  EXPECT_EQ(out.entry_valid, 1U);
  EXPECT_EQ(out.entry_valid_nsec, 500'000'000U);
  EXPECT_GT(out.attr_valid, uint64_t{100} * 365 * 86400);
  EXPECT_LT(out.attr_valid_nsec, 1'000'000'000U);
  EXPECT_EQ(out.attr.ino, 100U);
  EXPECT_EQ(out.attr.mtime, static_cast<uint64_t>(-3));
  EXPECT_EQ(out.attr.mtimensec, 4U);
  EXPECT_EQ(out.attr.mode, S_IFREG | 0640U);
  EXPECT_EQ(out.attr.nlink, 3U);
}

TEST(Encode, ValidityBelowZeroIsNone) {
  const proto::AttrOut out = attr_out(kAttr, Duration(-1));
  EXPECT_EQ(out.attr_valid, 0U);
  EXPECT_EQ(out.attr_valid_nsec, 0U);
}

TEST(Encode, ANegativeEntryHasNodeZero) {
  const proto::EntryOut out = negative_entry_out(std::chrono::seconds(5));
  EXPECT_EQ(out.nodeid, 0U);
  EXPECT_EQ(out.entry_valid, 5U);
}

// The kernel refuses other page cache flags beside passthrough.
TEST(Encode, APassthroughOpenCarriesNoOtherCacheFlag) {
  const proto::OpenOut out = open_out({.handle = HandleId(4),
                                       .keep_cache = true,
                                       .direct_io = true,
                                       .no_flush = true,
                                       .backing_id = 12});
  EXPECT_EQ(out.open_flags, proto::kFopenPassthrough | proto::kFopenNoflush);
  EXPECT_EQ(out.backing_id, 12);
  EXPECT_EQ(out.fh, 4U);
  const proto::OpenOut cached = open_out({.handle = HandleId(4), .keep_cache = true});
  EXPECT_EQ(cached.open_flags, proto::kFopenKeepCache);
  EXPECT_EQ(cached.backing_id, 0);
}

TEST(Encode, StatxGivesTheBirthTimeOnlyWhenThereIsOne) {
  const Timestamp birth{11, 12};
  EXPECT_EQ(statx_out(kAttr, kForever, nullptr).stat.mask & STATX_BTIME, 0U);
  const proto::StatxOut out = statx_out(kAttr, kForever, &birth);
  EXPECT_NE(out.stat.mask & STATX_BTIME, 0U);
  EXPECT_EQ(out.stat.btime.tv_sec, 11);
  EXPECT_EQ(out.stat.mtime.tv_sec, -3);
  EXPECT_EQ(out.stat.size, 1U << 20);
}

proto::Dirent dirent_at(std::span<const std::byte> packed, size_t offset) {
  proto::Dirent out{};
  EXPECT_LE(offset + sizeof out, packed.size());
  std::memcpy(&out, packed.data() + offset, sizeof out);
  return out;
}

TEST(DirentPacker, EntriesArePaddedToEightAndZeroed) {
  std::vector<std::byte> buffer(200, std::byte{0xee});
  DirentPacker packer(buffer);
  ASSERT_TRUE(packer.add("abc", 5, S_IFDIR | 0755, 1));
  ASSERT_TRUE(packer.add("12345678", 6, S_IFLNK | 0777, 2));
  EXPECT_EQ(packer.used().size(), 32U + 32U);
  const proto::Dirent first = dirent_at(packer.used(), 0);
  EXPECT_EQ(first.ino, 5U);
  EXPECT_EQ(first.off, 1U);
  EXPECT_EQ(first.namelen, 3U);
  EXPECT_EQ(first.type, 4U);  // DT_DIR
  for (size_t i = 27; i < 32; ++i) EXPECT_EQ(packer.used()[i], std::byte{0}) << i;
  EXPECT_EQ(dirent_at(packer.used(), 32).type, 10U);  // DT_LNK
}

TEST(DirentPacker, WhatDoesNotFitLeavesTheBufferAsItWas) {
  std::vector<std::byte> buffer(64 + 31, std::byte{0xee});
  DirentPacker packer(buffer);
  ASSERT_TRUE(packer.add("abc", 5, S_IFREG, 1));
  ASSERT_TRUE(packer.add("def", 5, S_IFREG, 2));
  EXPECT_FALSE(packer.add("ghi", 5, S_IFREG, 3));
  EXPECT_EQ(packer.used().size(), 64U);
  for (size_t i = 64; i < buffer.size(); ++i) EXPECT_EQ(buffer[i], std::byte{0xee});
}

TEST(DirentPacker, PlusEntriesCarryTheirAttributes) {
  std::vector<std::byte> buffer(4096);
  DirentPacker packer(buffer);
  ASSERT_TRUE(packer.add_plus("name", {.node = NodeId(3), .attr = kAttr}, 9));
  EXPECT_EQ(packer.used().size(), sizeof(proto::Direntplus) + 8);
  proto::Direntplus out{};
  std::memcpy(&out, packer.used().data(), sizeof out);
  EXPECT_EQ(out.entry_out.nodeid, 3U);
  EXPECT_EQ(out.entry_out.attr.size, 1U << 20);
  EXPECT_EQ(out.dirent.ino, 100U);
  EXPECT_EQ(out.dirent.off, 9U);
  EXPECT_EQ(out.dirent.type, 8U);  // DT_REG
}

TEST(DirentPacker, AnEmptyBufferTakesNothing) {
  DirentPacker packer({});
  EXPECT_FALSE(packer.add("a", 1, S_IFREG, 1));
  EXPECT_FALSE(packer.add_plus("a", {}, 1));
  EXPECT_TRUE(packer.empty());
}

TEST(Encode, CreateAnswersWithAnEntryAndAnOpenFile) {
  const proto::CreateOut out =
      create_out({.node = NodeId(9), .attr_valid = std::chrono::seconds(5)},
                 {.handle = HandleId(4), .keep_cache = true});
  EXPECT_EQ(out.entry.nodeid, 9U);
  EXPECT_EQ(out.entry.attr_valid, 5U);
  EXPECT_EQ(out.open.fh, 4U);
  EXPECT_EQ(out.open.open_flags, proto::kFopenKeepCache);
  EXPECT_EQ(write_out(77).size, 77U);
}

}  // namespace
}  // namespace netfs::fuse
