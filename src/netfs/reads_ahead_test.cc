// Reads ahead of an origin that carries out few at a time: whose turn it is, and that nobody who
// waits is behind them.

#include "netfs/reads_ahead.h"

#include <gtest/gtest.h>

#include "netfs/remote_file.h"
#include "netfs/testing/reading.h"

namespace netfs {
namespace {

constexpr uint64_t kMiB = 1 << 20;

LibraryFixture::Options few_at_a_time(unsigned reads) {
  LibraryFixture::Options options;
  options.origin.capabilities.reads_ahead = reads;
  options.origin.capabilities.read_bytes_max = 4 * kMiB;
  options.budget_bytes = 64 * kMiB;
  options.readahead = true;
  return options;
}

Deadline soon() {
  return Deadline::after(Clock::system(), std::chrono::seconds(30));
}

TEST(ReadsAhead, AsMuchIsUnderWayAsMayBeAndTheLastGoesBeyond) {
  ReadsAhead ahead(14);
  const Ref<RemoteFile> nobody;
  EXPECT_TRUE(ahead.begin(2 * kMiB, 4 * kMiB, nobody));
  EXPECT_TRUE(ahead.begin(2 * kMiB, 4 * kMiB, nobody));
  EXPECT_FALSE(ahead.begin(2 * kMiB, 4 * kMiB, nobody));
  ahead.came(1);  // of the second
  EXPECT_TRUE(ahead.begin(2 * kMiB, 4 * kMiB, nobody));
  EXPECT_FALSE(ahead.begin(2 * kMiB, 4 * kMiB, nobody));
  ahead.ended(2 * kMiB);
  ahead.ended(2 * kMiB - 1);
  EXPECT_TRUE(ahead.begin(2 * kMiB, 4 * kMiB, nobody));
}

TEST(ReadsAhead, FewerThanTheOriginCarriesOutAreUnderWay) {
  ReadsAhead ahead(2);
  const Ref<RemoteFile> nobody;
  EXPECT_TRUE(ahead.begin(1, kMiB, nobody));
  EXPECT_TRUE(ahead.begin(1, kMiB, nobody));
  EXPECT_FALSE(ahead.begin(1, kMiB, nobody));
  ahead.ended(1);
  EXPECT_TRUE(ahead.begin(1, kMiB, nobody));
}

TEST(ReadsAhead, OneIsAlwaysUnderWayWhateverTheLinkHolds) {
  ReadsAhead ahead(2);
  const Ref<RemoteFile> nobody;
  EXPECT_TRUE(ahead.begin(8 * kMiB, 0, nobody));
  EXPECT_FALSE(ahead.begin(1, 0, nobody));
  ahead.ended(8 * kMiB);
  EXPECT_TRUE(ahead.begin(8 * kMiB, 0, nobody));
}

TEST(ReadsAhead, FilesHaveTheirTurnInOrderAndOnce) {
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", kMiB, 1);
  fixture.origin.add_pattern("b", kMiB, 2);
  const Ref<RemoteFile> first(static_cast<RemoteFile*>(fixture.open("a").get()));
  const Ref<RemoteFile> second(static_cast<RemoteFile*>(fixture.open("b").get()));
  ReadsAhead ahead(1);
  EXPECT_TRUE(ahead.begin(1, 0, first));
  EXPECT_FALSE(ahead.begin(1, 0, second));
  EXPECT_FALSE(ahead.begin(1, 0, first));
  EXPECT_FALSE(ahead.begin(1, 0, second));
  EXPECT_FALSE(ahead.next(0));
  ahead.ended(1);
  EXPECT_EQ(ahead.next(0), second);
  EXPECT_EQ(ahead.next(0), first);
  EXPECT_FALSE(ahead.next(0));
}

// A read of the beginning, which plans the first window.
PendingRead begin_at_the_start(LibraryFixture& fixture, File& file, ReadStream* stream) {
  return fixture.begin_read(file, {0, 128 << 10}, stream);
}

TEST(ReadsAhead, NoMoreOfThemAreAskedForThanHaveTheirTurnAndAllAreInTheEnd) {
  LibraryFixture fixture(few_at_a_time(2));
  fixture.origin.add_pattern("file", 16 * kMiB, 7);
  const Ref<File> file = fixture.open("file");
  const std::unique_ptr<ReadStream> stream = file->open_stream();
  fixture.origin.hold_reads();
  const PendingRead first = begin_at_the_start(fixture, *file, stream.get());
  // The one that somebody waits for and two ahead of him; the rest of the first window waits.
  ASSERT_TRUE(fixture.origin.wait_for_held(3, soon()));
  EXPECT_EQ(fixture.library->stats().origin_reads.issued.get(), 3U);
  fixture.origin.release_reads();
  ASSERT_TRUE(first.take().ok());
  for (uint64_t at = 0; at < 16 * kMiB; at += kMiB) {
    const Result<std::string> got = fixture.read(*file, {at, kMiB}, stream.get());
    ASSERT_TRUE(got.ok());
    EXPECT_EQ(got.value(), pattern(7, {at, kMiB})) << at;
  }
}

TEST(ReadsAhead, WhoWaitsForOneThatIsHeldHasItAtOnce) {
  LibraryFixture fixture(few_at_a_time(1));
  fixture.origin.add_pattern("file", 16 * kMiB, 7);
  const Ref<File> file = fixture.open("file");
  const std::unique_ptr<ReadStream> stream = file->open_stream();
  fixture.origin.hold_reads();
  const PendingRead first = begin_at_the_start(fixture, *file, stream.get());
  ASSERT_TRUE(fixture.origin.wait_for_held(2, soon()));
  const PendingRead held = fixture.begin_read(*file, {kMiB - 4096, 4096});
  EXPECT_TRUE(fixture.origin.wait_for_held(3, soon()));
  fixture.origin.release_reads();
  const Result<std::string> got = held.take();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got.value(), pattern(7, {kMiB - 4096, 4096}));
  ASSERT_TRUE(first.take().ok());
}

TEST(ReadsAhead, OneThatFailsEndsItsTurnAndNoOther) {
  LibraryFixture fixture(few_at_a_time(1));
  fixture.origin.add_pattern("file", 4 * kMiB, 7);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.range.offset_bytes == 0 || read.number > 6) return std::nullopt;
    if (read.number % 2 == 0) return Fault{.kind = Fault::kShort, .bytes = 4096};
    return Fault{.kind = Fault::kError, .error = EIO};
  });
  const Ref<File> file = fixture.open("file");
  const std::unique_ptr<ReadStream> stream = file->open_stream();
  for (uint64_t at = 0; at < 4 * kMiB; at += 128 << 10) {
    const Result<std::string> got = fixture.read(*file, {at, 128 << 10}, stream.get());
    if (!got.ok()) continue;
    EXPECT_EQ(got.value(), pattern(7, {at, 128 << 10})) << at;
  }
  ASSERT_TRUE(fixture.drain());
  const Result<std::string> whole = fixture.read(*file, {0, 4 * kMiB}, stream.get());
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole.value(), pattern(7, {0, 4 * kMiB}));
}

TEST(ReadsAhead, ClosingTheLibraryEndsThoseThatHaveNoTurn) {
  LibraryFixture::Options options = few_at_a_time(1);
  options.timeout = std::chrono::seconds(3);  // so long it waits for the held ones when it closes
  LibraryFixture fixture(std::move(options));
  fixture.origin.add_pattern("file", 16 * kMiB, 7);
  {
    const Ref<File> file = fixture.open("file");
    const std::unique_ptr<ReadStream> stream = file->open_stream();
    fixture.origin.hold_reads();
    const PendingRead first = begin_at_the_start(fixture, *file, stream.get());
    ASSERT_TRUE(fixture.origin.wait_for_held(2, soon()));
    fixture.library->close();
    EXPECT_TRUE(first.take().is_error(ECANCELED));
    fixture.origin.release_reads();
  }
  // The file and its handle at the origin are gone, for nothing of it waits for a turn.
  for (const Deadline until = soon(); fixture.origin.open_files() > 0;) {
    ASSERT_FALSE(until.passed(Clock::system().now()));
  }
}

}  // namespace
}  // namespace netfs
