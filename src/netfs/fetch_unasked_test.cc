// Fetches for who has not opened the file yet.

#include <gtest/gtest.h>

#include "netfs/testing/opening_origin.h"

namespace netfs {
namespace {

constexpr uint64_t kKiB = 1 << 10;

TEST(FetchUnasked, BringsTheFileAndClosesItAtTheOrigin) {
  for (const bool by_read : {false, true}) {
    UnaskedFixture fixture;
    fixture.opening.by_read = by_read;
    const Ref<File> file = fixture.open("f3");
    EXPECT_EQ(file->fetch_unasked(1 << 20), 40 * kKiB);
    EXPECT_EQ(file->fetch_unasked(1 << 20), 0U) << "it is under way";
    ASSERT_TRUE(fixture.settled());
    ASSERT_TRUE(fixture.drain());
    EXPECT_EQ(fixture.opening.opened_by_read, by_read ? 1U : 0U);
    EXPECT_EQ(fixture.origin.open_files(), 0U);
    const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
    EXPECT_EQ(fixture.origin.counts().opens, 1U);
    EXPECT_EQ(fixture.origin.counts().read_bytes, 40 * kKiB);
    EXPECT_TRUE(file->sealed()) << "and it is stored, as what anybody reads";
    EXPECT_EQ(file->fetch_unasked(1 << 20), 0U);
  }
}

// Sixteen opens for nobody hang, and more stand behind them.
TEST(FetchUnasked, WhoReadsWaitsForNoneOfItsOpens) {
  UnaskedFixture fixture;
  std::vector<Ref<File>> files;
  for (int i = 0; i < 30; ++i) files.push_back(fixture.open(UnaskedFixture::name(i)));
  fixture.opening.hold_opens();
  for (const Ref<File>& file : files) EXPECT_EQ(file->fetch_unasked(1 << 20), 40 * kKiB);
  ASSERT_TRUE(fixture.opening.wait_for_opens(16));
  // One that nobody fetches, and one whose open stands in the queue.
  const Ref<File> other = fixture.open("f39");
  const PendingRead apart = LibraryFixture::begin_read(*other, {0, kKiB});
  const PendingRead queued = LibraryFixture::begin_read(*files[29], {0, kKiB});
  EXPECT_TRUE(fixture.opening.wait_for_opens(18));
  fixture.opening.release_opens();
  EXPECT_TRUE(apart.take().ok());
  const Result<std::string> bytes = queued.take();
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(bytes.value() == pattern(29, {0, kKiB}));
  ASSERT_TRUE(fixture.opened(31));
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.origin.counts().opens, 31U) << "each once";
  EXPECT_EQ(fixture.origin.counts().overlapping_reads, 0U);
}

// Sixteen confirmations that nobody waits for hang, and more stand behind them: whoever wants what
// one of those is about, or more of the same file, has it asked for at once.
TEST(FetchUnasked, WhoJoinsAConfirmationStandsBehindNoneThatNobodyWaitsFor) {
  constexpr size_t kFiles = 20;
  constexpr uint64_t kFirst = 64 * kKiB;  // a block
  for (const bool more : {false, true}) {
    UnaskedFixture fixture(size_t{32} << 20, {.validator_after = false});
    std::vector<Ref<File>> files;
    for (size_t i = 0; i < kFiles; ++i) {
      const std::string name = "large" + std::to_string(i);
      fixture.origin.add_pattern(name, 100 * kKiB, i);
      files.push_back(fixture.open(name));
    }
    fixture.origin.hold_reads();
    for (const Ref<File>& file : files) ASSERT_GT(file->fetch_unasked(kFirst), 0U);
    ASSERT_TRUE(fixture.origin.wait_for_held(kFiles, Deadline::within(std::chrono::seconds(60))));
    fixture.opening.hold_stats();
    fixture.origin.release_reads();
    ASSERT_TRUE(fixture.opening.wait_for_stats(16));
    const ByteRange wanted = more ? ByteRange{kFirst, 8 * kKiB} : ByteRange{0, kFirst};
    std::vector<PendingRead> reads;
    for (const Ref<File>& file : files) reads.push_back(LibraryFixture::begin_read(*file, wanted));
    EXPECT_TRUE(fixture.opening.wait_for_stats(kFiles));
    fixture.opening.release_stats();
    for (size_t i = 0; i < kFiles; ++i) {
      const Result<std::string> bytes = reads[i].take();
      ASSERT_TRUE(bytes.ok()) << i << ": " << bytes.error().message();
      EXPECT_TRUE(bytes.value() == pattern(i, wanted)) << i;
    }
    if (!more) {
      EXPECT_EQ(fixture.library->stats().confirmations.issued.get(), kFiles) << "each once";
    }
  }
}

// The read that was to open it says what is wrong; who waits has it opened by open().
TEST(FetchUnasked, WhatItsReadCouldNotOpenIsOpenedForWhoWaits) {
  UnaskedFixture fixture;
  fixture.opening.by_read = true;
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kError, .error = ENOENT};
    return std::nullopt;
  });
  fixture.origin.hold_reads();
  const Ref<File> file = fixture.open("f3");
  EXPECT_EQ(file->fetch_unasked(1 << 20), 40 * kKiB);
  ASSERT_TRUE(fixture.origin.wait_for_held(1, Deadline::never()));
  const PendingRead read = LibraryFixture::begin_read(*file, {0, 40 * kKiB});
  fixture.origin.release_reads();
  const Result<std::string> bytes = read.take();
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
}

// Where the origin says that it saves who waits a round trip.
struct ByReadFixture : UnaskedFixture {
  static SimulatedOrigin::Options of_no_validators() {
    return {.capabilities = {.files_ahead = true, .opens_by_read = true}, .validator_after = false};
  }
  ByReadFixture() : UnaskedFixture(size_t{32} << 20, of_no_validators()) {
    opening.by_read = true;
    opening.said_before = MUST(origin.stat("f3", Deadline::never())).validator;
  }
};

TEST(OpenedByRead, WhoWaitsAsksOnceAndHasHisBytesBeforeTheOriginIsAskedAgain) {
  ByReadFixture fixture;
  const Ref<File> file = fixture.open("f3");
  const uint64_t stats = fixture.origin.counts().stats;
  fixture.opening.hold_stats();
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_FALSE(file->sealed()) << "stored once the origin has said it again after the bytes";
  fixture.opening.release_stats();
  const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
  while (!file->sealed() && Clock::system().now() < until) ASSERT_TRUE(fixture.drain());
  EXPECT_TRUE(file->sealed());
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_EQ(fixture.origin.counts().opens, 1U) << "that one";
  EXPECT_EQ(fixture.origin.counts().stats, stats + 1);
}

// More than are opened at a time are asked for before the origin knows that reads open its files.
TEST(OpenedByRead, WhoStoodInTheQueueBeforeIsOpenedByItInHisTurn) {
  ByReadFixture fixture;
  fixture.opening.says_of_each = true;
  fixture.opening.by_read = false;
  fixture.opening.hold_opens();
  std::vector<Ref<File>> files;
  std::vector<PendingRead> reads;
  for (int i = 0; i < 30; ++i) {
    files.push_back(fixture.open(UnaskedFixture::name(i)));
    reads.push_back(LibraryFixture::begin_read(*files.back(), {0, 40 * kKiB}));
  }
  ASSERT_TRUE(fixture.opening.wait_for_opens(16));
  fixture.opening.by_read = true;
  fixture.opening.release_opens();
  for (int i = 0; i < 30; ++i) {
    const Result<std::string> bytes = reads[static_cast<size_t>(i)].take();
    ASSERT_TRUE(bytes.ok()) << bytes.error().message();
    EXPECT_TRUE(bytes.value() == pattern(static_cast<uint64_t>(i), {0, 40 * kKiB})) << i;
  }
  EXPECT_EQ(fixture.opening.opened_by_read, 14U);
}

// Twenty confirmations hang, of files whose readers have their bytes.
TEST(OpenedByRead, WhoWaitsForAnOpenStandsBehindNoConfirmationThatNobodyWaitsFor) {
  ByReadFixture fixture;
  fixture.opening.says_of_each = true;
  fixture.opening.hold_stats();
  std::vector<Ref<File>> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back(fixture.open(UnaskedFixture::name(i)));
    ASSERT_TRUE(LibraryFixture::read(*files.back(), {0, 40 * kKiB}).ok()) << i;
  }
  fixture.opening.by_read = false;
  const Ref<File> other = fixture.open("f39");
  const PendingRead read = LibraryFixture::begin_read(*other, {0, 40 * kKiB});
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
  fixture.opening.release_stats();
  EXPECT_TRUE(read.take().ok());
}

// Garbage is what comes by the answer of another version; who waits has the file opened by open(),
// which says whether it is one.
TEST(OpenedByRead, AnAnswerOfAnotherVersionGivesNoByte) {
  ByReadFixture fixture;
  fixture.opening.said_before->bytes += "other";
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kGarbage};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("f3");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
  EXPECT_FALSE(file->superseded());
}

// The same where the tag is the same and the file is not.
TEST(OpenedByRead, AnAnswerOfAnotherLengthGivesNoByte) {
  ByReadFixture fixture;
  fixture.opening.said_size = 39 * kKiB;
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kGarbage};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("f3");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_TRUE(fixture.opening.wait_for_opens(1)) << "open() says which one it is";
}

// What it failed with is of the origin's handle; the reader's own is good, and nobody opens the
// file again for him.
TEST(OpenedByRead, WhatIsGivenUpMeanwhileIsStaleAndNoBadDescriptor) {
  ByReadFixture fixture;
  fixture.origin.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = EACCES}; });
  const Ref<File> file = fixture.open("f3");
  fixture.origin.hold_reads();
  const PendingRead read = LibraryFixture::begin_read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(fixture.origin.wait_for_held(1, Deadline::never()));
  file->supersede();
  fixture.origin.release_reads();
  const Result<std::string> bytes = read.take();
  EXPECT_TRUE(bytes.is_error(ESTALE)) << bytes.code();
}

TEST(OpenedByRead, WhatFailsIsOpenedByOpenAndNotByReadAgain) {
  ByReadFixture fixture;
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.number == 0) return Fault{.kind = Fault::kError, .error = EACCES};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("f3");
  const Result<std::string> bytes = LibraryFixture::read(*file, {0, 40 * kKiB});
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_TRUE(bytes.value() == pattern(3, {0, 40 * kKiB}));
  EXPECT_EQ(fixture.opening.opened_by_read, 1U);
  EXPECT_TRUE(fixture.opening.wait_for_opens(1));
}

TEST(FetchUnasked, WhereMemoryIsShortItWaitsForAnotherTime) {
  UnaskedFixture fixture(256 * kKiB);
  fixture.origin.hold_reads();
  std::vector<Ref<File>> files;
  std::optional<uint64_t> last = 0;
  for (int i = 0; i < 20 && last; ++i) {
    files.push_back(fixture.open(UnaskedFixture::name(i)));
    last = files.back()->fetch_unasked(1 << 20);
  }
  EXPECT_EQ(last, std::nullopt);
  EXPECT_LE(fixture.pool.used_bytes(), 256 * kKiB);
  fixture.origin.release_reads();
}

TEST(FetchUnasked, WhatCouldHideAChangeIsLeftAlone) {
  UnaskedFixture fixture;
  fixture.origin.add_file("now", "bytes", Clock::system().wall().seconds + 60);
  EXPECT_EQ(fixture.open("now")->fetch_unasked(1 << 20), 0U);
  EXPECT_EQ(fixture.origin.counts().reads, 0U);
}

}  // namespace
}  // namespace netfs
