// Goal: a library over an origin with a limit of bandwidth: what waits for the limit is slow and
// never times out, in any of its layers, and an origin that does not answer is noticed as ever.

#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <vector>

#include "netfs/library_stats.h"
#include "netfs/limited_origin.h"
#include "netfs/testing/writing.h"
#include "netfs/tree_writer.h"

namespace netfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kKiB = 1 << 10;
// Longer than a machine with other work lets a thread wait, and shorter than the bytes take.
constexpr Duration kTimeout = seconds(2);

LibraryFixture::Options writable(uint64_t write_behind_bytes) {
  LibraryFixture::Options options = write_behind(write_behind_bytes);
  options.cached = false;
  options.timeout = kTimeout;
  return options;
}

struct LimitedFixture : LibraryFixture {
  explicit LimitedFixture(const Bandwidth& bandwidth, uint64_t write_behind_bytes = 0)
      : LibraryFixture(writable(write_behind_bytes)) {
    limited.limit(bandwidth);
    library.reset();
    library = MUST(Library::create({.origin = limited,  // as the fixture's own
                                    .pool = pool,
                                    .timeout = kTimeout,
                                    .readahead = true,
                                    .write_behind_bytes = write_behind_bytes}));
  }
  ~LimitedFixture() {
    limited.limit({});
    origin.release_hung();
    library.reset();
  }

  LimitedOrigin limited{origin};
};

MonoTime now() {
  return Clock::system().now();
}

TEST(LimitedLibrary, ReadersWhoWaitForTheLimitGetTheirBytes) {
  LimitedFixture fixture({.down = 128 * kKiB});
  std::vector<PendingRead> reads;
  std::vector<Ref<File>> files;
  for (uint64_t i = 0; i < 6; ++i) {
    const std::string name = "f" + std::to_string(i);
    fixture.origin.add_pattern(name, 64 * kKiB, i);
    files.push_back(fixture.open(name));
    reads.push_back(LibraryFixture::begin_read(*files.back(), {0, 64 * kKiB}));
  }
  const MonoTime began = now();
  for (uint64_t i = 0; i < 6; ++i) {
    const Result<std::string> bytes = reads[i].take();
    ASSERT_TRUE(bytes.ok()) << bytes.error().message();
    EXPECT_TRUE(bytes.value() == pattern(i, {0, 64 * kKiB}));
  }
  EXPECT_GT(now() - began, kTimeout) << "else it shows nothing";
  EXPECT_EQ(fixture.library->stats().timeouts.get(), 0U);
}

TEST(LimitedLibrary, AnOriginThatDoesNotAnswerIsNoticedThoughTheRestStillWaits) {
  LimitedFixture fixture({.down = 64 * kKiB});
  fixture.origin.add_pattern("f", 1024 * kKiB, 1);
  fixture.origin.set_fault([](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.range.offset_bytes == 0) return Fault{.kind = Fault::kHang};
    return std::nullopt;
  });
  const Ref<File> file = fixture.open("f");
  const MonoTime began = now();
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 1024 * kKiB}).is_error(ETIMEDOUT));
  EXPECT_GE(now() - began, kTimeout);
  EXPECT_LE(now() - began, seconds(12)) << "all of it would take sixteen seconds";
  fixture.origin.set_fault(nullptr);
  fixture.limited.limit({});
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {0, 100})), pattern(1, {0, 100}));
}

TEST(LimitedLibrary, WhatIsReadOfAFileThatIsBeingWrittenMayWaitToo) {
  LimitedFixture fixture({.down = 64 * kKiB});
  fixture.origin.add_pattern("f", 200 * kKiB, 4);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const PendingRead other = LibraryFixture::begin_read(*file, {0, 100 * kKiB});
  EXPECT_TRUE(MUST(LibraryFixture::read(*file, {0, 100 * kKiB})) == pattern(4, {0, 100 * kKiB}));
  EXPECT_TRUE(MUST(other.take()) == pattern(4, {0, 100 * kKiB}));
}

TEST(LimitedLibrary, ALiveReadOfADeadOriginIsTimedOut) {
  LimitedFixture fixture({.down = 64 * kKiB});
  fixture.origin.add_pattern("f", 200 * kKiB, 4);
  fixture.origin.set_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  EXPECT_TRUE(LibraryFixture::read(*file, {0, 200 * kKiB}).is_error(ETIMEDOUT));
}

// A file's size is not known while it is written: what is asked past its end costs nothing.
TEST(LimitedLibrary, WhatDidNotComeIsNotPaidFor) {
  LimitedFixture fixture({.down = 32 * kKiB});
  fixture.origin.add_file("f", "0123456789");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const MonoTime began = now();
  for (int i = 0; i < 80; ++i) {
    EXPECT_EQ(MUST(LibraryFixture::read(*file, {0, 128 * kKiB})), "0123456789");
  }
  EXPECT_LE(now() - began, seconds(20)) << "eighty times half a second";
}

TEST(LimitedLibrary, WritersAndWhoStandsBehindThemMayWait) {
  LimitedFixture fixture({.up = 64 * kKiB});
  fixture.origin.add_file("f", "");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  std::vector<PendingWrite> writes;
  const MonoTime began = now();
  for (uint64_t i = 0; i < 3; ++i) {
    writes.push_back(
        begin_write(fixture, *file, i * 80 * kKiB, pattern(2, {i * 80 * kKiB, 80 * kKiB})));
  }
  const Deadline soon = Deadline::after(Clock::system(), kTimeout);
  const Result<Witnessed> cut = file->set_attributes({.size_bytes = 200 * kKiB}, soon);
  EXPECT_TRUE(cut.ok()) << cut.error().message();
  for (const PendingWrite& one : writes) EXPECT_EQ(MUST(one.take()).bytes, 80 * kKiB);
  EXPECT_GT(now() - began, kTimeout) << "else it shows nothing";
  EXPECT_TRUE(fixture.origin.content("f") == pattern(2, {0, 200 * kKiB}));
}

TEST(LimitedLibrary, KeptWritesLandAndAreWaitedFor) {
  LimitedFixture fixture({.up = 64 * kKiB}, 8 << 20);
  fixture.origin.add_file("f", "");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  for (uint64_t i = 0; i < 4; ++i) {
    const ByteRange range{i * 64 * kKiB, 64 * kKiB};
    ASSERT_TRUE(write(fixture, *file, range.offset_bytes, pattern(3, range)).ok());
  }
  EXPECT_TRUE(fixture.library->writer()->settle_all(Deadline::never()));
  EXPECT_EQ(file->write_errors().serial, 0U);
  EXPECT_TRUE(fixture.origin.content("f") == pattern(3, {0, 256 * kKiB}));
}

TEST(LimitedLibrary, WritesToADeadOriginAreTimedOut) {
  LimitedFixture fixture({.up = 64 * kKiB});
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const PendingWrite first = begin_write(fixture, *file, 0, pattern(2, {0, 128 * kKiB}));
  const PendingWrite behind = begin_write(fixture, *file, 128 * kKiB, "x");
  const MonoTime began = now();
  EXPECT_TRUE(first.take().is_error(ETIMEDOUT));
  EXPECT_TRUE(behind.take().is_error(ETIMEDOUT));
  const Deadline soon = Deadline::after(Clock::system(), kTimeout);
  EXPECT_TRUE(file->set_attributes({.size_bytes = 1}, soon).is_error(ETIMEDOUT));
  EXPECT_LE(now() - began, seconds(50)) << "it would never end";
}

TEST(LimitedLibrary, WhatNobodyWaitsForYieldsUntilSomebodyDoes) {
  std::atomic<unsigned> of_big{0};  // outlives what counts it
  std::atomic<unsigned> until_the_last{0};
  LimitedFixture fixture({.down = 64 * kKiB});
  for (const char* name : {"big", "other", "little"}) {
    fixture.origin.add_pattern(name, 160 * kKiB, 5);
  }
  fixture.origin.set_fault([&](const SimulatedRead& read) -> std::optional<Fault> {
    if (read.path == "big") ++of_big;
    if (read.path == "other") until_the_last = of_big.load();
    return std::nullopt;
  });
  const Ref<File> big = fixture.open("big");
  const Ref<File> other = fixture.open("other");
  const Ref<File> little = fixture.open("little");
  EXPECT_EQ(big->fetch_unasked(160 * kKiB), 160 * kKiB);
  EXPECT_EQ(other->fetch_unasked(160 * kKiB), 160 * kKiB);
  const MonoTime until = now() + seconds(30);
  while (fixture.origin.counts().reads < 2) ASSERT_LT(now(), until);
  const PendingRead waits = LibraryFixture::begin_read(*other, {0, 160 * kKiB});
  const unsigned before = of_big;
  EXPECT_EQ(MUST(LibraryFixture::read(*little, {0, 100})), pattern(5, {0, 100}));
  EXPECT_TRUE(MUST(waits.take()) == pattern(5, {0, 160 * kKiB}));
  // While somebody waited for the other: whatever was fetched before and is after that.
  EXPECT_LE(until_the_last, before + 4) << "of ten pieces";
}

}  // namespace
}  // namespace netfs
