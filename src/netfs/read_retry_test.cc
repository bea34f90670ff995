#include "netfs/read_retry.h"

#include <gtest/gtest.h>

#include "netfs/testing/reading.h"

namespace netfs {
namespace {

using std::chrono::milliseconds;
constexpr uint64_t kBlock = 64 << 10;

TEST(ReadRetry, BackOffDoublesUpToItsBoundAndHalfOfItIsChance) {
  EXPECT_EQ(back_off(1, 0), milliseconds(10));
  EXPECT_EQ(back_off(2, 0), milliseconds(20));
  EXPECT_EQ(back_off(3, 0), milliseconds(40));
  EXPECT_EQ(back_off(30, 0), kBackOffMax / 2);
  for (uint64_t chance = 0; chance < 100'000'000; chance += 999'983) {
    EXPECT_GE(back_off(3, chance), milliseconds(40));
    EXPECT_LE(back_off(3, chance), milliseconds(80));
  }
}

TEST(ReadRetry, OnlyTroubleOfTheWayIsTriedAgain) {
  for (const int error : {EIO, ETIMEDOUT, EINTR, ESTALE}) {
    EXPECT_TRUE(may_retry(error, 1)) << error;
    EXPECT_TRUE(may_retry(error, kAttemptsMax - 1)) << error;
    EXPECT_FALSE(may_retry(error, kAttemptsMax)) << error;
  }
  for (const int error : {ENOENT, EACCES, EPERM, EISDIR, EINVAL, ENOSYS, ECANCELED}) {
    EXPECT_FALSE(may_retry(error, 1)) << error;
  }
  // While the origin cannot be reached, the deadline is the bound.
  EXPECT_TRUE(may_retry(ENOTCONN, 100));
  EXPECT_TRUE(may_retry(EAGAIN, 100));
}

TEST(ReadRetry, PiecesHalveDownToABlock) {
  EXPECT_EQ(smaller_piece(1 << 20, kBlock), 512U << 10);
  EXPECT_EQ(smaller_piece(3 * kBlock, kBlock), kBlock);
  EXPECT_EQ(smaller_piece(kBlock, kBlock), kBlock);
  EXPECT_EQ(smaller_piece(10, kBlock), kBlock);
}

TEST(ReadRetry, FailedSpanIsSlicedSmallerAndTheReaderSeesNoError) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 8 * kBlock, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.range.length_bytes > 2 * kBlock) return Fault{.kind = Fault::kError, .error = EIO};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("a");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 8 * kBlock});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(1, {0, 8 * kBlock}));
  EXPECT_EQ(fixture.origin.counts().read_bytes, 8 * kBlock + 2 * 8 * kBlock - 4 * kBlock);
}

TEST(ReadRetry, AttemptsAreBoundedAndTheErrorIsTheOrigins) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kBlock, 1);
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = EIO}; });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(EIO));
  EXPECT_EQ(fixture.origin.counts().reads, kAttemptsMax);
}

TEST(ReadRetry, FinalErrorsAreNotTriedAgain) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kBlock, 1);
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = EACCES}; });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(EACCES));
  EXPECT_EQ(fixture.origin.counts().reads, 1U);
}

TEST(ReadRetry, LostConnectionReopensTheFileAndTheReadGoesOn) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number < 6) return Fault{.kind = Fault::kError, .error = ENOTCONN};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("a");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 4 * kBlock});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(1, {0, 4 * kBlock}));
  EXPECT_EQ(fixture.origin.counts().opens, 7U);
}

TEST(ReadRetry, AHandleThatOutlivesItsConnectionIsReadOn) {
  LibraryFixture fixture({.origin = {.capabilities = {.handles_outlive_connections = true}}});
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number < 6) return Fault{.kind = Fault::kError, .error = ENOTCONN};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("a");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 4 * kBlock});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_EQ(fixture.origin.counts().opens, 1U);
}

TEST(ReadRetry, AnOriginWithoutTimeIsAskedUntilTheDeadline) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kBlock, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number < 6) return Fault{.kind = Fault::kError, .error = EAGAIN};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).ok());
}

TEST(ReadRetry, AnOriginWithoutTimeIsATimeoutInTheEnd) {
  LibraryFixture fixture({.timeout = milliseconds(300)});
  fixture.origin.add_pattern("a", kBlock, 1);
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = EAGAIN}; });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(ETIMEDOUT));
  EXPECT_GE(fixture.library->stats().timeouts.get(), 1U);
}

TEST(ReadRetry, AnOriginWithoutTimeToConfirmIsATimeoutToo) {
  LibraryFixture fixture({.origin = {.validator_after = false}, .timeout = milliseconds(1000)});
  fixture.origin.add_pattern("a", kBlock, 1);
  const Ref<File> file = fixture.open("a");
  fixture.origin.hold_reads();
  const PendingRead read = LibraryFixture::begin_read(*file, {0, 100});
  ASSERT_TRUE(fixture.origin.wait_for_held(1, Deadline::never()));
  fixture.origin.set_metadata_error(EAGAIN);
  fixture.origin.release_reads();
  const Result<std::string> bytes = read.take();
  EXPECT_TRUE(bytes.is_error(ETIMEDOUT)) << bytes.code();
  EXPECT_GE(fixture.library->stats().timeouts.get(), 1U);
}

// The bytes are here, and are of no use before it is answered.
TEST(ReadRetry, TheQuestionBehindTheBytesIsPutAgainWhenItIsNotAnswered) {
  LibraryFixture fixture({.origin = {.validator_after = false}});
  fixture.origin.add_pattern("a", kBlock, 1);
  const Ref<File> file = fixture.open("a");
  fixture.origin.hold_reads();
  const PendingRead read = LibraryFixture::begin_read(*file, {0, 100});
  ASSERT_TRUE(fixture.origin.wait_for_held(1, Deadline::never()));
  fixture.origin.set_metadata_error(ENOTCONN);
  fixture.origin.release_reads();
  const MonoTime until = Clock::system().now() + std::chrono::seconds(30);
  while (fixture.library->stats().confirmations.failed.get() < 2 && !read.done() &&
         Clock::system().now() < until) {
    std::this_thread::yield();
  }
  fixture.origin.set_metadata_error(0);
  const Result<std::string> bytes = read.take();
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(1, {0, 100}));
  EXPECT_EQ(fixture.origin.counts().reads, 1U);
}

TEST(ReadRetry, AHandleThatStaysBadIsNotTheReadersDescriptor) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kBlock, 1);
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = EBADF}; });
  const Ref<File> file = fixture.open("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(EIO));
  EXPECT_EQ(fixture.origin.counts().opens, kAttemptsMax);
}

// A range is failed by its own error only: who joined a download that then failed elsewhere gets
// an attempt of his own.
TEST(ReadRetry, ErrorOfOneBlockFailsOnlyTheReadsOfThatBlock) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 8 * kBlock, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (!read.range.intersect({3 * kBlock, kBlock}).empty()) {
      return Fault{.kind = Fault::kError, .error = EACCES};
    }
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("a");
  fixture.origin.hold_reads();
  const PendingRead all = LibraryFixture::begin_read(*file, {0, 8 * kBlock});
  ASSERT_TRUE(
      fixture.origin.wait_for_held(1, Deadline::after(Clock::system(), std::chrono::seconds(60))));
  const PendingRead before = LibraryFixture::begin_read(*file, {kBlock, kBlock});
  const PendingRead beyond = LibraryFixture::begin_read(*file, {5 * kBlock, kBlock});
  fixture.origin.release_reads();
  EXPECT_TRUE(all.take().is_error(EACCES));
  const Result<std::string> before_bytes = before.take();
  ASSERT_TRUE(before_bytes.ok());
  EXPECT_TRUE(before_bytes.value() == pattern(1, {kBlock, kBlock}));
  const Result<std::string> beyond_bytes = beyond.take();
  ASSERT_TRUE(beyond_bytes.ok());
  EXPECT_TRUE(beyond_bytes.value() == pattern(1, {5 * kBlock, kBlock}));
}

TEST(ReadRetry, TimeoutBoundsAReadWhoseOriginNeverAnswers) {
  // Long enough for the read to be at the origin by then on a busy machine, too.
  LibraryFixture fixture({.timeout = milliseconds(1000)});
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  fixture.origin.set_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
  const Ref<File> file = fixture.open("a");
  const MonoTime began = Clock::system().now();
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(ETIMEDOUT));
  EXPECT_GE(Clock::system().now() - began, milliseconds(1000));
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(60));
  EXPECT_EQ(fixture.library->stats().subrequests_open, 1U);
  // A later reader is not chained to the hung download.  On a busy machine he may be late himself.
  fixture.origin.set_fault(nullptr);
  Result<std::string> bytes = LibraryFixture::read(*file, {0, 100});
  for (int i = 0; i < 400 && bytes.is_error(ETIMEDOUT); ++i) {
    bytes = LibraryFixture::read(*file, {0, 100});
  }
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_EQ(bytes.value(), pattern(1, {0, 100}));
  // The hung one writes into its own buffer, which is still there.
  fixture.origin.release_hung();
  const Deadline soon = Deadline::after(Clock::system(), std::chrono::seconds(60));
  while (fixture.library->stats().subrequests_open > 0 && !soon.passed(Clock::system().now())) {
  }
  EXPECT_EQ(fixture.library->stats().subrequests_open, 0U);
}

TEST(ReadRetry, TimeoutBoundsAReadWhoseOriginCannotBeReached) {
  LibraryFixture fixture({.timeout = milliseconds(1000)});
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  const Ref<File> file = fixture.open("a");
  fixture.origin.set_metadata_error(ENOTCONN);
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 100});
  ASSERT_FALSE(bytes.ok());
  EXPECT_TRUE(bytes.is_error(ENOTCONN) || bytes.is_error(ETIMEDOUT)) << bytes.code();
  EXPECT_GT(fixture.origin.counts().opens, 1U);
}

TEST(ReadRetry, FileGoneAtTheOriginIsStale) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 4 * kBlock, 1);
  const Ref<File> file = fixture.open("a");
  fixture.origin.remove("a");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 100}).is_error(ESTALE));
}

}  // namespace
}  // namespace netfs
