// What readers see while caches fail, files change and blocks are on their way: hard behaviours 2,
// 3, 4, 8, 9, 11, 12 and 13, as far as they are the library's.

#include <gtest/gtest.h>

#include "netfs/testing/reading.h"
#include "sync/thread.h"

namespace netfs {
namespace {

using std::chrono::seconds;
constexpr uint64_t kBlock = 64 << 10;
constexpr uint64_t kMiB = 1 << 20;

Deadline soon() {
  return Deadline::after(Clock::system(), seconds(60));
}

// Hard behaviour 2, for a change at the origin.
TEST(Coherence, BlocksThatWaitForTheirStoreGoWithTheirVersion) {
  LibraryFixture fixture;
  fixture.origin.add_file("a", std::string(kMiB, 'x'));
  const Ref<File> file = fixture.open("a");
  fixture.cache.block_stores();
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB}).ok());
  ASSERT_TRUE(fixture.cache.wait_for_blocked_store(soon()));
  fixture.origin.write("a", std::string(kMiB, 'y'));
  file->supersede();
  fixture.cache.unblock_stores();
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
  const Result<std::string> bytes = LibraryFixture::read(*fixture.open("a"), {0, kMiB});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == std::string(kMiB, 'y'));
}

// Hard behaviour 3: eight threads and readahead over one file; one download a block.
TEST(Coherence, NoBlockIsDownloadedTwiceAtATime) {
  LibraryFixture fixture({.origin = {.threads = 4}, .budget_bytes = 64 * kMiB, .readahead = true});
  fixture.origin.add_pattern("a", 8 * kMiB, 1);
  const Ref<File> file = fixture.open("a");
  {
    std::vector<sync::Thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back("reader", [&, i] {
        const std::unique_ptr<ReadStream> stream = file->open_stream();
        const uint64_t step = (1 + static_cast<uint64_t>(i) % 4) * 50'000;
        for (uint64_t at = 0; at < 8 * kMiB; at += step) {
          const ByteRange range = ByteRange{at, step}.intersect({0, 8 * kMiB});
          const Result<std::string> bytes = LibraryFixture::read(*file, range, stream.get());
          ASSERT_TRUE(bytes.ok());
          ASSERT_TRUE(bytes.value() == pattern(1, range)) << at;
        }
      });
    }
  }
  EXPECT_EQ(fixture.origin.counts().overlapping_reads, 0U);
  EXPECT_EQ(fixture.origin.counts().read_bytes, 8 * kMiB);
}

TEST(Coherence, ReadersOfOneBlockShareItsDownload) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  const Ref<File> file = fixture.open("a");
  fixture.origin.hold_reads();
  std::vector<PendingRead> reads;
  for (uint64_t i = 0; i < 10; ++i) {
    reads.push_back(LibraryFixture::begin_read(*file, {i * 6000, 6000}));
  }
  ASSERT_TRUE(fixture.origin.wait_for_held(1, soon()));
  EXPECT_EQ(fixture.library->live_requests().size(), 10U);
  EXPECT_EQ(fixture.library->live_requests()[9].waits_for, "origin 1 of 1");
  fixture.origin.release_reads();
  for (uint64_t i = 0; i < 10; ++i) {
    const Result<std::string> bytes = reads[i].take();
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == pattern(1, {i * 6000, 6000}));
  }
  EXPECT_EQ(fixture.origin.counts().reads, 1U);
  EXPECT_EQ(fixture.origin.counts().opens, 1U);
}

// Hard behaviour 4.
TEST(Coherence, BlockIsPresentOnlyOnceItsStoreIsDone) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  const Ref<File> file = fixture.open("a");
  fixture.cache.block_stores();
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kBlock}).ok());
  ASSERT_TRUE(fixture.cache.wait_for_blocked_store(soon()));
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
  // A second read in between comes from memory.
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kBlock}).ok());
  EXPECT_EQ(fixture.origin.counts().reads, 1U);
  EXPECT_EQ(fixture.library->stats().bytes_memory.get(), kBlock);
  fixture.cache.unblock_stores();
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 1U);
}

// Hard behaviour 8.  A request of three MiB is three reads of the cache, and the second fails.
TEST(Coherence, FailingCacheSliceIsReadFromTheOriginAndNobodyHearsOfIt) {
  for (const int error : {EIO, EBADMSG, ESTALE, ENODATA}) {
    LibraryFixture fixture;
    fixture.origin.add_pattern("a", 3 * kMiB, 1);
    ASSERT_TRUE(LibraryFixture::read(*fixture.open("a"), {0, 3 * kMiB}).ok());
    ASSERT_TRUE(fixture.drain());
    fixture.restart();
    const Ref<File> file = fixture.open("a");
    const uint64_t before = fixture.origin.counts().read_bytes;
    fixture.cache.fail_reads(error, BlockIndex(20));
    const Result<std::string> bytes = LibraryFixture::read(*file, {0, 3 * kMiB});
    ASSERT_TRUE(bytes.ok()) << error;
    EXPECT_TRUE(bytes.value() == pattern(1, {0, 3 * kMiB}));
    EXPECT_EQ(fixture.origin.counts().read_bytes, before + kMiB) << error;
    EXPECT_EQ(fixture.library->stats().bytes_cache.get(), 2 * kMiB) << error;
    EXPECT_GE(fixture.library->stats().cache_failures.get(), 1U);
  }
}

// Blocks 0 to 2 are in the cache and one read of it; block 3 is not.
TEST(Coherence, OfOneReadOfTheCacheOnlyTheDamagedBlockIsFetched) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  ASSERT_TRUE(LibraryFixture::read(*fixture.open("a"), {0, 3 * kBlock}).ok());
  ASSERT_TRUE(fixture.drain());
  fixture.restart();
  const Ref<File> file = fixture.open("a");
  const uint64_t before = fixture.origin.counts().read_bytes;
  fixture.cache.corrupt("a", BlockIndex(1));
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 4 * kBlock});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(1, {0, 4 * kBlock}));
  EXPECT_EQ(fixture.origin.counts().read_bytes, before + 2 * kBlock);
  EXPECT_EQ(fixture.library->stats().bytes_cache.get(), 2 * kBlock);
  EXPECT_EQ(fixture.library->stats().cache_failures.get(), 1U);
}

TEST(Coherence, DamagedBlockIsFetchedAndStoredAnew) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  ASSERT_TRUE(LibraryFixture::read(*fixture.open("a"), {0, kMiB - 1}).ok());
  ASSERT_TRUE(fixture.drain());
  fixture.cache.corrupt("a");
  fixture.restart();
  const Ref<File> file = fixture.open("a");
  for (uint64_t at = 0; at < kMiB; at += kBlock) {
    const Result<std::string> bytes = LibraryFixture::read(*file, {at, kBlock});
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == pattern(1, {at, kBlock}));
  }
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 16U);
  const uint64_t before = fixture.origin.counts().reads;
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB}).ok());
  EXPECT_EQ(fixture.origin.counts().reads, before);
}

// Hard behaviour 9.
TEST(Coherence, ShrinkingFileIsStaleAndNothingPastItsEndIsStored) {
  for (const bool validator_after : {true, false}) {
    LibraryFixture fixture({.origin = {.validator_after = validator_after}});
    fixture.origin.add_file("a", std::string(8 * kMiB, 'x'));
    const Ref<File> file = fixture.open("a");
    fixture.origin.hold_reads();
    const PendingRead pending = LibraryFixture::begin_read(*file, {0, 8 * kMiB});
    ASSERT_TRUE(fixture.origin.wait_for_held(2, soon()));
    fixture.origin.write("a", std::string(kMiB, 'y'));
    fixture.origin.release_reads();
    EXPECT_TRUE(pending.take().is_error(ESTALE));
    ASSERT_TRUE(fixture.drain());
    EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
    const Result<std::string> bytes = LibraryFixture::read(*fixture.open("a"), {0, 8 * kMiB});
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == std::string(kMiB, 'y'));
  }
}

TEST(Coherence, OriginThatEndsAFileEarlyIsNotBelievedAndNothingIsZeroFilled) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    const uint64_t end = 100'000;
    const uint64_t at = read.range.offset_bytes;
    return Fault{.kind = Fault::kEndOfFile, .bytes = at < end ? end - at : 0};
  });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 200'000}).is_error(EIO));
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
}

// Hard behaviour 11.
TEST(Coherence, CacheReadThatEndsAfterAnInvalidationIsThrownAway) {
  LibraryFixture fixture;
  fixture.origin.add_file("a", std::string(kMiB, 'x'));
  ASSERT_TRUE(LibraryFixture::read(*fixture.open("a"), {0, kMiB}).ok());
  ASSERT_TRUE(fixture.drain());
  fixture.restart();
  const Ref<File> file = fixture.open("a");
  fixture.cache.block_reads();
  const PendingRead pending = LibraryFixture::begin_read(*file, {0, 100});
  ASSERT_TRUE(fixture.cache.wait_for_blocked_read(soon()));
  fixture.origin.write("a", std::string(kMiB, 'y'));
  file->supersede();
  ASSERT_TRUE(fixture.drain());
  fixture.cache.unblock_reads();
  // The object is gone and the origin has another version: stale, and never the old bytes.
  EXPECT_TRUE(pending.take().is_error(ESTALE));
}

// Hard behaviour 12.
TEST(Coherence, StoreBegunBeforeAnInvalidationChangesNothingAfterIt) {
  LibraryFixture fixture;
  fixture.origin.add_file("a", std::string(kMiB, 'x'));
  const Ref<File> before = fixture.open("a");
  fixture.cache.block_stores();
  ASSERT_TRUE(LibraryFixture::read(*before, {0, kMiB}).ok());
  ASSERT_TRUE(fixture.cache.wait_for_blocked_store(soon()));
  fixture.origin.write("a", std::string(kMiB, 'y'));
  before->supersede();
  const Ref<File> after = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*after, {0, kBlock}).ok());
  fixture.cache.unblock_stores();
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 1U);
  const Result<std::string> bytes = LibraryFixture::read(*after, {0, kMiB});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == std::string(kMiB, 'y'));
}

// Hard behaviour 13: whoever opens after the change reads the new version, an older handle reads
// one version throughout.
TEST(Coherence, NewHandleReadsTheNewVersionWhileAnOldOneReadsItsOwn) {
  LibraryFixture fixture;
  fixture.origin.add_file("a", std::string(kMiB, 'x'));
  const Ref<File> old_file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*old_file, {0, kMiB / 2}).ok());
  fixture.origin.replace("a", std::string(kMiB, 'y'));
  const Ref<File> new_file = fixture.open("a");
  const Result<std::string> new_bytes = LibraryFixture::read(*new_file, {0, kMiB});
  ASSERT_TRUE(new_bytes.ok());
  EXPECT_TRUE(new_bytes.value() == std::string(kMiB, 'y'));
  // Its open handle at the origin is the old file, whose validator has not changed.
  const Result<std::string> old_bytes = LibraryFixture::read(*old_file, {0, kMiB});
  ASSERT_TRUE(old_bytes.ok());
  EXPECT_TRUE(old_bytes.value() == std::string(kMiB, 'x'));
}

// A validator that changes in mid-read.
TEST(Coherence, BytesOfAnotherVersionAreNeitherGivenOutNorStored) {
  for (const Fault::Kind kind : {Fault::kOtherVersion, Fault::kGarbage}) {
    LibraryFixture fixture({.origin = {.progress_bytes = 4096}});
    fixture.origin.add_pattern("a", 4 * kMiB, 1);
    fixture.origin.set_fault([=](const SimulatedRead& read) -> std::optional<Fault> {
      if (read.range.offset_bytes >= kMiB) return Fault{.kind = kind};
      return std::nullopt;
    });
    const Ref<File> file = fixture.open("a");
    ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB}).ok());
    ASSERT_TRUE(fixture.drain());
    EXPECT_EQ(fixture.cache.stored_blocks("a"), 16U);
    EXPECT_TRUE(LibraryFixture::read(*file, {kMiB / 2, kMiB}).is_error(ESTALE));
    EXPECT_GE(fixture.library->stats().stale.get(), 1U);
    ASSERT_TRUE(fixture.drain());
    EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);  // superseded
  }
}

// The file changed between the look-up and the first read, and outcomes carry no validator.
TEST(Coherence, FirstReadOfAnOpenFileWaitsUntilItsVersionIsConfirmed) {
  LibraryFixture fixture({.origin = {.validator_after = false}});
  fixture.origin.add_file("a", std::string(kMiB, 'x'));
  const Ref<File> file = fixture.open("a");
  fixture.origin.write("a", std::string(kMiB, 'y'));
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(ESTALE));
}

// The open file was confirmed before they came, which says nothing of them.
TEST(Coherence, WhatIsToBeConfirmedFirstIsGivenToNobodyBeforeThat) {
  LibraryFixture fixture({.origin = {.validator_after = false, .confirm_first = true}});
  fixture.origin.add_file("a", std::string(kMiB, 'x'));
  const Ref<File> file = fixture.open("a");
  const Result<std::string> first = LibraryFixture::read(*file, {0, 100});
  ASSERT_TRUE(first.ok()) << first.error().message();
  EXPECT_TRUE(first.value() == std::string(100, 'x'));
  const uint64_t asked = fixture.origin.counts().stats;
  ASSERT_TRUE(LibraryFixture::read(*file, {kMiB / 4, 100}).ok());
  EXPECT_EQ(fixture.origin.counts().stats, asked + 1);
  fixture.origin.write("a", std::string(kMiB, 'y'));
  EXPECT_TRUE(LibraryFixture::read(*file, {kMiB / 2, 100}).is_error(ESTALE));
  ASSERT_TRUE(fixture.drain());
  // Of the version that was, perhaps, which goes; nothing that came under its name since.
  EXPECT_LE(fixture.cache.stored_blocks("a"), 2U);
}

TEST(Coherence, BlocksWithoutValidatorAreStoredOnceTheOriginConfirmedThem) {
  LibraryFixture fixture({.origin = {.validator_after = false}});
  fixture.origin.add_pattern("a", 4 * kMiB, 1);
  const Ref<File> file = fixture.open("a");
  const uint64_t stats_before = fixture.origin.counts().stats;
  ASSERT_TRUE(LibraryFixture::read(*file, {0, 4 * kMiB}).ok());
  const Deadline deadline = soon();
  while (fixture.cache.stored_blocks("a") < 64 && !deadline.passed(Clock::system().now())) {
    ASSERT_TRUE(fixture.drain());
  }
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 64U);
  const uint64_t confirmations = fixture.origin.counts().stats - stats_before;
  EXPECT_GE(confirmations, 1U);
  EXPECT_LE(confirmations, 8U);
}

TEST(Coherence, FileWithoutAnyValidatorIsReadAndNotKept) {
  OriginCapabilities capabilities;
  capabilities.validator_strength = ValidatorStrength::kNone;
  LibraryFixture fixture({.origin = {.capabilities = capabilities}});
  fixture.origin.add_pattern("a", kMiB, 1);
  const Ref<File> file = fixture.open("a");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, kMiB});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(1, {0, kMiB}));
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
}

// git's racy rule: a weak validator younger than its granule may hide a second change.
TEST(Coherence, BytesFetchedWithinAGranuleOfTheChangeAreNotKept) {
  LibraryFixture fixture;
  fixture.origin.add_file("a", std::string(kMiB, 'x'), Clock::system().wall().seconds + 3600);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {0, kMiB}).ok());
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
  EXPECT_GE(fixture.library->stats().stores_racy.get(), 1U);
}

}  // namespace
}  // namespace netfs
