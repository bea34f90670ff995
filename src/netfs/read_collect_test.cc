#include "netfs/read_collect.h"

#include <gtest/gtest.h>

#include "netfs/testing/reading.h"

namespace netfs {
namespace {

constexpr uint64_t kBlock = 64 << 10;

TEST(ReadCollect, FiveWayRuleOfShortReads) {
  struct Row {
    ReadFacts facts;
    ReadVerdict verdict;
  };
  const Row rows[] = {
      {{.asked_bytes = 10, .transferred_bytes = 11, .within_file_bytes = 10},
       ReadVerdict::kOverRead},
      {{.asked_bytes = 10, .transferred_bytes = 10, .within_file_bytes = 10},
       ReadVerdict::kComplete},
      {{.asked_bytes = 10, .transferred_bytes = 10, .within_file_bytes = 3},
       ReadVerdict::kComplete},
      {{.asked_bytes = 10, .transferred_bytes = 3, .within_file_bytes = 3}, ReadVerdict::kZeroTail},
      {{.asked_bytes = 10, .transferred_bytes = 0, .within_file_bytes = 0}, ReadVerdict::kZeroTail},
      {{.asked_bytes = 10, .transferred_bytes = 9, .within_file_bytes = 10},
       ReadVerdict::kRetryRest},
      {{.asked_bytes = 10, .transferred_bytes = 2, .within_file_bytes = 3},
       ReadVerdict::kRetryRest},
      {{.asked_bytes = 10,
        .transferred_bytes = 1,
        .within_file_bytes = 10,
        .no_progress_before = true},
       ReadVerdict::kRetryRest},
      {{.asked_bytes = 10, .transferred_bytes = 0, .within_file_bytes = 10},
       ReadVerdict::kRetryNothing},
      {{.asked_bytes = 10, .within_file_bytes = 10, .no_progress_before = true},
       ReadVerdict::kNoData},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(judge_read(row.facts), row.verdict)
        << row.facts.transferred_bytes << " of " << row.facts.asked_bytes;
  }
}

// Hard behaviour 6.
TEST(ReadCollect, ReadAcrossTheEndReturnsExactlyTheFileAndAsksNothingBeyond) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kBlock + 100, 1);
  const Ref<File> file = fixture.open("a");
  const Result<std::string> bytes = LibraryFixture::read(*file, {kBlock - 50, 1 << 20});
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes.value(), pattern(1, {kBlock - 50, 150}));
  const Result<std::string> beyond = LibraryFixture::read(*file, {kBlock + 100, 10});
  ASSERT_TRUE(beyond.ok());
  EXPECT_EQ(beyond.value(), "");
  ASSERT_TRUE(LibraryFixture::read(*file, {UINT64_MAX - 5, 10}).ok());
  EXPECT_EQ(fixture.origin.counts().past_end_reads, 0U);
  EXPECT_EQ(fixture.origin.counts().read_bytes, kBlock + 100);
}

// Hard behaviour 7, first half.
TEST(ReadCollect, NoBytesWithinTheFileTwiceRunningIsAnError) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kShort, .bytes = 0}; });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(EIO));
  EXPECT_EQ(fixture.origin.counts().reads, 2U);
}

TEST(ReadCollect, NoBytesOnceIsAskedAgain) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kShort, .bytes = 0};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("a");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 100});
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes.value(), pattern(1, {0, 100}));
}

// Hard behaviour 7, second half; with answers from within issue_read(), which must not nest.
TEST(ReadCollect, OneByteACallStillCompletesTheRead) {
  for (const bool inline_answers : {false, true}) {
    LibraryFixture fixture({.origin = {.inline_answers = inline_answers}});
    fixture.origin.add_pattern("a", kBlock, 1);
    fixture.origin.set_fault(
        [](const SimulatedRead&) { return Fault{.kind = Fault::kShort, .bytes = 1}; });
    const Ref<File> file = fixture.open("a");
    const Result<std::string> bytes = LibraryFixture::read(*file, {0, kBlock});
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == pattern(1, {0, kBlock}));
    EXPECT_EQ(fixture.origin.counts().reads, kBlock);
  }
}

// Hard behaviour X2.
TEST(ReadCollect, MoreBytesThanAskedIsAnErrorAndIsNotTriedAgain) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kOver, .bytes = 1}; });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(EIO));
  EXPECT_EQ(fixture.origin.counts().reads, 1U);
  EXPECT_EQ(fixture.library->stats().over_reads.get(), 1U);
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.stored_blocks("a"), 0U);
}

// The asked range is answered though the rest of its download still hangs.
TEST(ReadCollect, AnswersAsSoonAsTheAskedRangeIsThere) {
  LibraryFixture fixture({.origin = {.threads = 4}, .readahead = true});
  fixture.origin.add_pattern("a", 16 << 20, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.range.offset_bytes >= 2 * kBlock) return Fault{.kind = Fault::kHang};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("a");
  const std::unique_ptr<ReadStream> stream = file->open_stream();
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 2 * kBlock}, stream.get());
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(1, {0, 2 * kBlock}));
  EXPECT_GT(fixture.library->stats().readahead_bytes_issued.get(), 0U);
  fixture.origin.set_fault(nullptr);  // from here on none hangs any more
  fixture.origin.release_hung();
}

TEST(ReadCollect, ProgressAnswersBeforeTheOutcomeWhereOutcomesCarryNoValidator) {
  LibraryFixture fixture({.origin = {.validator_after = false, .progress_bytes = 4096}});
  fixture.origin.add_pattern("a", 8 * kBlock, 1);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {7 * kBlock, 10}).ok());  // the open file is confirmed
  // The answer to the first 4 KiB of a longer download must come while that is still open.
  sync::Mutex mutex(kSimulatedOriginLock);
  uint64_t open_at_answer = 0;
  PendingRead pending;
  ReadDone inner = pending.callback();
  fixture.origin.hold_reads();
  file->read(nullptr, {0, 6 * kBlock}, {}, [](Result<ReadResult>) {});
  file->read(nullptr, {0, 4096}, {}, [&](Result<ReadResult> result) {
    {
      sync::MutexLock lock(mutex);
      open_at_answer = fixture.library->stats().subrequests_open;
    }
    inner(std::move(result));
  });
  fixture.origin.release_reads();
  const Result<std::string> bytes = pending.take();
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes.value(), pattern(1, {0, 4096}));
  sync::MutexLock lock(mutex);
  EXPECT_GE(open_at_answer, 1U);
}

// What was given out is immutable: a second attempt writes behind it only.
TEST(ReadCollect, RetryAfterProgressDoesNotWriteWhatWasGivenOut) {
  LibraryFixture fixture({.origin = {.validator_after = false, .progress_bytes = 4096}});
  fixture.origin.add_pattern("a", 8 * kBlock, 1);
  const Ref<File> file = fixture.open("a");
  ASSERT_TRUE(LibraryFixture::read(*file, {7 * kBlock, 10}).ok());  // the open file is confirmed
  std::atomic<uint64_t> second_begin{0};
  fixture.origin.set_fault([&](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 1) return Fault{.kind = Fault::kError, .error = EIO};
    if (read.number == 2) second_begin = read.range.offset_bytes;
    return std::nullopt;
  });
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 4 * kBlock});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(1, {0, 4 * kBlock}));
  EXPECT_EQ(second_begin, 4 * kBlock - 4096);
}

}  // namespace
}  // namespace netfs
