// Reads through the whole library, over a simulated origin and a memory cache.

#include "netfs/library.h"

#include <gtest/gtest.h>
#include <random>

#include "netfs/testing/reading.h"
#include "sync/thread.h"

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

TEST(Library, ACacheThatComesLateHasWhatIsOpenedFromThenOn) {
  LibraryFixture fixture({.cached = false});
  fixture.origin.add_pattern("before", kMiB, 1);
  fixture.origin.add_pattern("after", kMiB, 2);
  const Ref<File> before = fixture.open("before");
  ASSERT_TRUE(LibraryFixture::read(*before, {0, kMiB / 2}).ok());
  fixture.library->use_cache(MUST(fixture.cache.open_volume(fixture.origin.volume_key())),
                             *fixture.offload);
  EXPECT_TRUE(LibraryFixture::read(*before, {kMiB / 2, kMiB / 2}).ok());
  const Ref<File> after = fixture.open("after");
  const Result<std::string> bytes = LibraryFixture::read(*after, {0, kMiB});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(2, {0, kMiB}));
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("before"), 0U);
  EXPECT_EQ(fixture.cache.stored_blocks("after"), kMiB / (64 * kKiB));
}

TEST(Library, ReadAtOnceGivesWhatTheCacheHasAndNothingElse) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 300 * kKiB, 1);
  const Ref<File> file = fixture.open("a");
  std::vector<std::byte> to(64 * kKiB);
  EXPECT_FALSE(file->read_at_once(nullptr, {0, 100}, to)) << "it is at the origin";
  ASSERT_TRUE(LibraryFixture::read(*file, {0, 64 * kKiB}).ok());
  ASSERT_TRUE(LibraryFixture::read(*file, {256 * kKiB, 44 * kKiB}).ok());
  ASSERT_TRUE(fixture.drain());
  const uint64_t reads_before = fixture.library->stats().reads.issued.get();
  EXPECT_FALSE(file->read_at_once(nullptr, {60 * kKiB, 8 * kKiB}, to)) << "the end is not cached";
  EXPECT_EQ(fixture.library->stats().reads.issued.get(), reads_before) << "nobody was asked";
  for (const ByteRange range :
       {ByteRange{5, 100}, ByteRange{0, 64 * kKiB}, ByteRange{299 * kKiB, 64 * kKiB}}) {
    const std::optional<size_t> length = file->read_at_once(nullptr, range, to);
    ASSERT_TRUE(length);
    const ByteRange there = range.intersect({0, 300 * kKiB});
    EXPECT_EQ(*length, there.length_bytes);
    EXPECT_TRUE(std::string(reinterpret_cast<const char*>(to.data()), *length) ==
                pattern(1, there));
  }
  EXPECT_EQ(fixture.library->stats().reads.issued.get(), reads_before + 3);
  EXPECT_EQ(fixture.library->stats().reads.done.get(), reads_before + 3);
  fixture.cache.fail_reads(EAGAIN);
  EXPECT_FALSE(file->read_at_once(nullptr, {0, 100}, to)) << "it would wait for the disk";
  fixture.cache.fail_reads(0);
  fixture.library->close();
  EXPECT_FALSE(file->read_at_once(nullptr, {0, 100}, to)) << "closed";
}

TEST(Library, OpensAndReadsAtTheOriginAreBoundedByTheTimeout) {
  LibraryFixture fixture({.timeout = std::chrono::seconds(9)});
  fixture.origin.add_pattern("a", 100 * kKiB, 1);
  const Ref<File> file = fixture.open("a");
  const MonoTime earliest = Clock::system().now() + std::chrono::seconds(9);
  ASSERT_TRUE(LibraryFixture::read(*file, {0, 100}).ok());
  const MonoTime latest = Clock::system().now() + std::chrono::seconds(9);
  for (const Deadline deadline :
       {fixture.origin.last_open_deadline(), fixture.origin.last_read_deadline()}) {
    EXPECT_GE(deadline.at, earliest);
    EXPECT_LE(deadline.at, latest);
  }
}

// Servers bound the number of open files; a file that is kept open here need not be open there.
TEST(Library, IdleFilesAreClosedAtTheOriginAndOpenedAgainWhenNeeded) {
  LibraryFixture fixture;
  std::vector<Ref<File>> files;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "f" + std::to_string(i);
    fixture.origin.add_pattern(name, 200 * kKiB, static_cast<uint64_t>(i));
    files.push_back(fixture.open(name));
    ASSERT_TRUE(LibraryFixture::read(*files.back(), {0, 100}).ok());
  }
  const Deadline deadline = Deadline::after(Clock::system(), std::chrono::seconds(60));
  while (fixture.origin.open_files() > 140 && !deadline.passed(Clock::system().now())) {
  }
  EXPECT_LE(fixture.origin.open_files(), 140U);
  for (uint64_t i = 0; i < 300; ++i) {
    const Result<std::string> bytes = LibraryFixture::read(*files[i], {100 * kKiB, 100});
    ASSERT_TRUE(bytes.ok());
    ASSERT_EQ(bytes.value(), pattern(i, {100 * kKiB, 100}));
  }
}

// Each read of 4 KiB keeps a block of 64 KiB: whatever their number, within the budget.
TEST(Library, RandomSmallReadsStayWithinTheMemoryBudget) {
  for (const bool cached : {true, false}) {
    LibraryFixture fixture({.offload = {.queue_bytes_max = kMiB},
                            .budget_bytes = 4 * kMiB,
                            .readahead = true,
                            .cached = cached});
    fixture.origin.add_pattern("a", 1024 * kMiB, 1);
    if (cached) fixture.cache.block_stores();
    const Ref<File> file = fixture.open("a");
    const std::unique_ptr<ReadStream> stream = file->open_stream();
    std::mt19937_64 random(1);
    size_t most = 0;
    for (int i = 0; i < 1000; ++i) {
      const uint64_t at = (random() % (256 * kKiB)) * 4 * kKiB;
      ASSERT_TRUE(LibraryFixture::read(*file, {at, 4 * kKiB}, stream.get()).ok());
      most = std::max(most, fixture.pool.used_bytes());
    }
    EXPECT_LE(most, 4 * kMiB + 256 * kKiB);
    EXPECT_GE(most, 3 * kMiB);
  }
}

TEST(Library, CloseEndsWaitingReadsAndRefusesNewOnes) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  const Ref<File> file = fixture.open("a");
  fixture.origin.hold_reads();
  const PendingRead pending = LibraryFixture::begin_read(*file, {0, 100});
  ASSERT_TRUE(
      fixture.origin.wait_for_held(1, Deadline::after(Clock::system(), std::chrono::seconds(60))));
  sync::Thread closer("closer", [&] { fixture.library->close(); });
  EXPECT_TRUE(pending.take().is_error(ECANCELED));
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(ECANCELED));
  EXPECT_EQ(fixture.library->stats().subrequests_open, 1U);
  fixture.origin.release_reads();  // close() waits for it
  closer.join();
  EXPECT_EQ(fixture.library->stats().subrequests_open, 0U);
}

TEST(Library, CloseIsBoundedWhenTheOriginNeverTerminates) {
  // Long enough for the read to be at the origin by then on a busy machine, too.
  LibraryFixture fixture({.timeout = std::chrono::seconds(1)});
  fixture.origin.add_pattern("a", kMiB, 1);
  fixture.origin.set_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
  const MonoTime began = Clock::system().now();
  {
    const Ref<File> file = fixture.open("a");
    EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(ETIMEDOUT));
  }
  fixture.library->close();
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(60));
  EXPECT_GT(fixture.pool.used_bytes(), 0U);
  fixture.library.reset();
  fixture.origin.release_hung();  // what it writes into is still there
  EXPECT_EQ(fixture.pool.used_bytes(), 0U);
}

TEST(Library, OriginWithoutRangeReadsIsRefusedWithAReason) {
  OriginCapabilities capabilities;
  capabilities.range_reads = false;
  BufferPool pool(kMiB, 0);
  SimulatedOrigin origin({.capabilities = capabilities});
  const auto library = Library::create({.origin = origin, .pool = pool});
  EXPECT_TRUE(library.is_error(ENOTSUP));
}

TEST(FillHoles, AFileThatIsNearlyAllHereIsCompletedAndSealed) {
  LibraryFixture fixture({.readahead = true});
  fixture.origin.add_pattern("a", 3 * kMiB, 1);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB}).ok());
  ASSERT_TRUE(LibraryFixture::read(*file, {kMiB + 64 * kKiB, 2 * kMiB - 64 * kKiB}).ok());
  ASSERT_TRUE(fixture.drain());
  ASSERT_FALSE(file->sealed());
  file->fill_holes();
  ASSERT_TRUE(fixture.drain());
  EXPECT_TRUE(file->sealed());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 48U);
}

TEST(FillHoles, WhatIsInMemoryIsStoredOnceMoreAndNotFetchedAgain) {
  LibraryFixture fixture({.readahead = true});
  fixture.origin.add_pattern("a", 3 * kMiB, 1);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {64 * kKiB, 3 * kMiB - 64 * kKiB}).ok());
  ASSERT_TRUE(fixture.drain());
  fixture.cache.fail_stores(ENOSPC);
  // Half of a block: what was read whole need not stay in memory.
  ASSERT_TRUE(LibraryFixture::read(*file, {0, 32 * kKiB}).ok());
  ASSERT_TRUE(fixture.drain());
  fixture.cache.fail_stores(0);
  const uint64_t reads_before = fixture.origin.counts().reads;
  file->fill_holes();
  ASSERT_TRUE(fixture.drain());
  EXPECT_TRUE(file->sealed());
  EXPECT_EQ(fixture.origin.counts().reads, reads_before);
}

TEST(FillHoles, WhatLacksMoreThanLittleIsLeftAlone) {
  LibraryFixture fixture({.readahead = true});
  fixture.origin.add_pattern("a", 3 * kMiB, 1);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {0, 2 * kMiB}).ok());
  ASSERT_TRUE(fixture.drain());
  const uint64_t reads_before = fixture.origin.counts().reads;
  file->fill_holes();
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.origin.counts().reads, reads_before);
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 32U);
}

}  // namespace
}  // namespace netfs
