#include "netfs/slice.h"

#include <gtest/gtest.h>
#include <string>

namespace netfs {
namespace {

constexpr uint32_t kBlock = 10;
constexpr uint64_t kNever = UINT64_MAX;

// One letter a block: c cache, m memory, o origin; past its end: origin.
std::vector<Slice> slice(const std::string& blocks, ByteRange asked, uint64_t file_bytes,
                         uint64_t zero_point = kNever) {
  return slice_read(
      asked, file_bytes, zero_point, kBlock, [&](BlockIndex block, uint64_t count_max) {
        const auto at = [&](uint64_t i) { return i < blocks.size() ? blocks[i] : 'o'; };
        const char kind = at(block.value);
        uint64_t count = 1;
        while (count < count_max && at(block.value + count) == kind) ++count;
        const Source source = kind == 'c'   ? Source::kCache
                              : kind == 'm' ? Source::kMemory
                                            : Source::kOrigin;
        return Run{source, count};
      });
}

using Slices = std::vector<Slice>;

TEST(Slice, OneSourceIsOneSlice) {
  EXPECT_EQ(slice("ccc", {0, 30}, 30), (Slices{{Source::kCache, {0, 30}}}));
  EXPECT_EQ(slice("ooo", {5, 20}, 30), (Slices{{Source::kOrigin, {5, 20}}}));
}

TEST(Slice, SourcesChangeAtBlockBordersOnly) {
  EXPECT_EQ(
      slice("coom", {5, 33}, 40),
      (Slices{{Source::kCache, {5, 5}}, {Source::kOrigin, {10, 20}}, {Source::kMemory, {30, 8}}}));
}

TEST(Slice, IsCutAtTheEndOfTheFile) {
  EXPECT_EQ(slice("cc", {5, 100}, 17), (Slices{{Source::kCache, {5, 12}}}));
  EXPECT_EQ(slice("cc", {17, 5}, 17), Slices{});
  EXPECT_EQ(slice("cc", {900, 5}, 17), Slices{});
  EXPECT_EQ(slice("", {0, 5}, 0), Slices{});
  EXPECT_EQ(slice("c", {3, 0}, 17), Slices{});
}

TEST(Slice, PastTheZeroPointIsZeroesWithoutAskingAnybody) {
  EXPECT_EQ(slice("oo", {5, 40}, 45, 15),
            (Slices{{Source::kOrigin, {5, 10}}, {Source::kZero, {15, 30}}}));
  EXPECT_EQ(slice("oo", {20, 10}, 45, 15), (Slices{{Source::kZero, {20, 10}}}));
}

TEST(Slice, TilesTheAskedRangeWithoutGapsForEveryRange) {
  const std::string blocks = "comoccmmo";
  for (uint64_t begin = 0; begin < 95; ++begin) {
    for (uint64_t length = 0; length < 95; ++length) {
      const ByteRange asked = cut_at_end({begin, length}, 87);
      uint64_t at = asked.offset_bytes;
      for (const Slice& one : slice(blocks, {begin, length}, 87, 80)) {
        ASSERT_EQ(one.range.offset_bytes, at);
        ASSERT_FALSE(one.range.empty());
        at = one.range.end_bytes();
      }
      ASSERT_EQ(at, asked.end_bytes());
    }
  }
}

TEST(Slice, FetchesWholeBlocksCutAtTheEndOfTheFile) {
  EXPECT_EQ(fetch_range({5, 1}, kBlock, 100), (ByteRange{0, 10}));
  EXPECT_EQ(fetch_range({9, 2}, kBlock, 100), (ByteRange{0, 20}));
  EXPECT_EQ(fetch_range({95, 2}, kBlock, 98), (ByteRange{90, 8}));
}

}  // namespace
}  // namespace netfs
