// Reads through the whole library, over a simulated origin and a memory cache.

#include "netfs/library.h"

#include <gtest/gtest.h>

#include "netfs/testing/reading.h"

namespace netfs {
namespace {

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;

TEST(Library, ColdReadReturnsTheOriginsBytesAndFillsTheCache) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 3 * kMiB + 5, 1);
  const Ref<File> file = fixture.open("a");
  for (const ByteRange range : {ByteRange{0, 100}, ByteRange{65530, 20}, ByteRange{kMiB, kMiB},
                                ByteRange{3 * kMiB, 5}, ByteRange{100 * kKiB, 2 * kMiB}}) {
    const Result<std::string> bytes = LibraryFixture::read(*file, range);
    ASSERT_TRUE(bytes.ok()) << bytes.error().message();
    EXPECT_TRUE(bytes.value() == pattern(1, range)) << range.offset_bytes;
  }
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 35U);
  EXPECT_EQ(fixture.origin.counts().overlapping_reads, 0U);
}

TEST(Library, SecondLibraryOverTheSameCacheReadsWithoutTheOrigin) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  {
    const Ref<File> file = fixture.open("a");
    ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB}).ok());
  }
  ASSERT_TRUE(fixture.drain());
  fixture.library.reset();
  fixture.start();
  const uint64_t reads_before = fixture.origin.counts().reads;
  const Ref<File> file = fixture.open("a");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, kMiB});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(1, {0, kMiB}));
  EXPECT_EQ(fixture.origin.counts().reads, reads_before);
  EXPECT_EQ(fixture.library->stats().hits.get(), 1U);
  EXPECT_TRUE(file->sealed());
  EXPECT_TRUE(file->hand_out().ok());
}

}  // namespace
}  // namespace netfs
