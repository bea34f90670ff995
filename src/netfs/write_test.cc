// Goal: the library's writing side by its hard behaviours: pieces, their order and their failures
// (16, 17, 20), what readers see, what the cache may keep, time-outs.

#include <atomic>
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <optional>
#include <sched.h>
#include <string>

#include "netfs/library_stats.h"
#include "netfs/testing/writing.h"
#include "netfs/tree_writer.h"
#include "netfs/write_request.h"

namespace netfs {
namespace {

LibraryFixture::Options writable(WriteCapabilities capabilities = {.write_bytes_max = kPiece}) {
  LibraryFixture::Options options;
  options.origin.write = capabilities;
  return options;
}

// As an origin without identities, where users set times: paths can come to name other files.
LibraryFixture::Options by_path() {
  LibraryFixture::Options options =
      writable({.write_bytes_max = kPiece, .validator_can_be_set = true});
  options.origin.capabilities.validator_strength = ValidatorStrength::kWeak;
  return options;
}

TEST(Write, AnOriginThatCannotBeChangedHasNoWriter) {
  LibraryFixture fixture;
  EXPECT_EQ(fixture.library->writer(), nullptr);
}

TEST(Write, EveryByteIsAtTheOriginWhenItIsAnswered) {
  for (const bool inline_answers : {false, true}) {
    LibraryFixture::Options options = writable();
    options.origin.inline_answers = inline_answers;
    LibraryFixture fixture(options);
    fixture.origin.add_file("f", "0123456789");
    const Ref<WritableFile> file = open_for_writing(fixture, "f");
    const std::string bytes = pattern(1, {0, 5 * kPiece + 77});
    EXPECT_EQ(MUST(write(fixture, *file, 3, bytes)), bytes.size());
    EXPECT_TRUE(fixture.origin.content("f") == "012" + bytes);
    EXPECT_EQ(MUST(LibraryFixture::read(*file, {0, 1 << 20})), "012" + bytes);
    EXPECT_EQ(fixture.library->stats().bytes_written.get(), bytes.size());
    EXPECT_EQ(fixture.origin.counts().writes, 6U);
  }
}

TEST(Write, ADirectWriteStopsAtTheFirstPieceThatFails) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault([](const SimulatedRead& write) -> std::optional<Fault> {
    if (write.range.offset_bytes == 2 * kPiece) return Fault{.error = ENOSPC};
    return std::nullopt;
  });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const std::string bytes = pattern(2, {0, 5 * kPiece});
  const Written written =
      MUST(begin_write(fixture, *file, 0, bytes, WritePieces::kOneByOne).take());
  EXPECT_EQ(written.bytes, 2 * kPiece);
  EXPECT_EQ(written.stopped_by, ENOSPC) << "for the kernel's own pages, of which none may be lost";
  EXPECT_TRUE(fixture.origin.content("f") == bytes.substr(0, 2 * kPiece));
  EXPECT_EQ(fixture.origin.counts().writes, 3U) << "no piece after the third went out";
  EXPECT_TRUE(write(fixture, *file, 2 * kPiece, bytes, WritePieces::kOneByOne).is_error(ENOSPC));
}

TEST(Write, AFailedSpanIsTiledSmallerAndEveryByteArrives) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  std::vector<ByteRange> asked;
  fixture.origin.set_write_fault([&asked](const SimulatedRead& write) -> std::optional<Fault> {
    asked.push_back(write.range);
    if (write.number < 3) return Fault{.error = EIO};
    if (write.number == 5) return Fault{.kind = Fault::kShort, .bytes = 100};
    return std::nullopt;
  });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const std::string bytes = pattern(3, {0, 3 * kPiece});
  EXPECT_EQ(MUST(write(fixture, *file, 0, bytes)), bytes.size());
  EXPECT_TRUE(fixture.origin.content("f") == bytes);
  EXPECT_LE(asked[3].length_bytes, kPiece / 2);
  EXPECT_GT(fixture.library->stats().retries.get(), 0U);
}

TEST(Write, AttemptsEndAndTheErrorIsTheCallers) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault([](const SimulatedRead&) { return Fault{.error = EIO}; });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  EXPECT_TRUE(write(fixture, *file, 0, "x").is_error(EIO));
  EXPECT_LE(fixture.origin.counts().writes, 8U);
  // What the origin says of the file is final at once.
  fixture.origin.set_write_fault([](const SimulatedRead&) { return Fault{.error = EDQUOT}; });
  const uint64_t before = fixture.origin.counts().writes;
  EXPECT_TRUE(write(fixture, *file, 0, "x").is_error(EDQUOT));
  EXPECT_EQ(fixture.origin.counts().writes, before + 1);
}

// Opened again it may not be written any more: its owner may have made it read-only since.
TEST(Write, AHandleThatOutlivesItsConnectionIsWrittenOn) {
  LibraryFixture::Options options = writable();
  options.origin.capabilities.handles_outlive_connections = true;
  LibraryFixture fixture(options);
  fixture.origin.add_file("f", "");
  std::atomic<unsigned> failures = 0;
  fixture.origin.set_write_fault([&](const SimulatedRead&) -> std::optional<Fault> {
    const unsigned number = failures++;
    if (number < 2) return Fault{.error = ENOTCONN};
    if (number < 8) return Fault{.error = EAGAIN};
    return std::nullopt;
  });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  fixture.origin.set_metadata_error(EACCES);
  EXPECT_EQ(MUST(write(fixture, *file, 0, "bytes")), 5U);
  fixture.origin.set_metadata_error(0);
  EXPECT_EQ(fixture.origin.content("f"), "bytes");
}

TEST(Write, WhatWaitsForItsTurnWhenTheLibraryClosesIsLetGo) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault(
      [](const SimulatedRead&) -> std::optional<Fault> { return Fault{.error = ENOTCONN}; });
  {
    const Ref<WritableFile> file = open_for_writing(fixture, "f");
    const PendingWrite first = begin_write(fixture, *file, 0, "first");
    const PendingWrite second = begin_write(fixture, *file, 5, "second");
    // By then it waits for the time of its next attempt, and the other one for its turn.
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    while (fixture.library->stats().retries.get() < 6 && Clock::system().now() < until) {
      ::sched_yield();
    }
    fixture.library->close();
    EXPECT_FALSE(first.take().ok());
    EXPECT_TRUE(second.take().is_error(ECANCELED));
  }
  EXPECT_EQ(fixture.pool.used_bytes(), 0U);
}

TEST(Write, MoreThanGivenIsRefused) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kOver, .bytes = 5}; });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  EXPECT_TRUE(write(fixture, *file, 0, "x").is_error(EPROTO));
}

TEST(Write, WritesOfOneFileHappenInTheOrderTheyCame) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  std::vector<PendingWrite> pending;
  for (int i = 0; i < 50; ++i) {
    pending.push_back(
        begin_write(fixture, *file, 0, std::string(100, static_cast<char>('A' + i % 26))));
  }
  for (const PendingWrite& one : pending) EXPECT_TRUE(one.take().ok());
  EXPECT_EQ(fixture.origin.content("f"), std::string(100, static_cast<char>('A' + 49 % 26)));
}

TEST(Write, AnOriginThatNeverAnswersCostsTheTimeoutAndNoMore) {
  LibraryFixture::Options options = writable();
  options.timeout = std::chrono::milliseconds(200);
  LibraryFixture fixture(options);
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault([](const SimulatedRead& write) -> std::optional<Fault> {
    if (write.number == 0) return Fault{.kind = Fault::kHang};
    return std::nullopt;
  });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const PendingWrite hung = begin_write(fixture, *file, 0, "first");
  const PendingWrite behind = begin_write(fixture, *file, 0, "behind");
  EXPECT_TRUE(hung.take().is_error(ETIMEDOUT));
  EXPECT_TRUE(behind.take().is_error(ETIMEDOUT)) << "it would have overtaken the one before";
  EXPECT_EQ(fixture.origin.content("f"), "");
  EXPECT_GE(fixture.library->stats().timeouts.get(), 2U);
  fixture.origin.release_hung();
  // On a busy machine this one may be late himself.
  Result<uint64_t> after = write(fixture, *file, 0, "after");
  for (int i = 0; i < 100 && after.is_error(ETIMEDOUT); ++i) {
    after = write(fixture, *file, 0, "after");
  }
  ASSERT_TRUE(after.ok()) << after.error().message();
  EXPECT_EQ(after.value(), 5U);
  EXPECT_EQ(fixture.origin.content("f"), "after");
}

TEST(Write, LiveRequestsSayWhatTheyWaitFor) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault([](const SimulatedRead&) { return Fault{.kind = Fault::kHang}; });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const PendingWrite first = begin_write(fixture, *file, 0, "x");
  const PendingWrite second = begin_write(fixture, *file, 0, "x");
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(
      1, Deadline::after(Clock::system(), std::chrono::seconds(60))));
  const std::vector<LiveRequest> live = fixture.library->live_requests();
  ASSERT_EQ(live.size(), 2U);
  EXPECT_EQ(live[0].path, "f");
  EXPECT_EQ(live[0].waits_for, "origin, write: 1 of 1");
  EXPECT_EQ(live[1].waits_for, "the write before it");
  // What hung is tried again, and then it is the other one's turn.
  fixture.origin.set_write_fault(nullptr);
  fixture.origin.release_hung();
  EXPECT_TRUE(first.take().ok());
  EXPECT_TRUE(second.take().ok());
}

TEST(Write, AStoreThatFailsOrStandsStillDelaysNoWrite) {
  LibraryFixture fixture(by_path());
  fixture.origin.add_file("f", pattern(4, {0, 3 * kPiece}));
  const Ref<File> before = fixture.open("f");
  EXPECT_TRUE(LibraryFixture::read(*before, {0, 3 * kPiece}).ok());
  fixture.cache.block_stores();
  const Ref<WritableFile> file = open_for_writing(fixture, "f", before);
  EXPECT_EQ(MUST(write(fixture, *file, 5, "written")), 7U);
  std::string want = pattern(4, {0, 3 * kPiece});
  want.replace(5, 7, "written");
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {0, 3 * kPiece})), want);
  // While the cache has not forgotten, the file is read without it.
  const Ref<File> after = fixture.open("f");
  EXPECT_EQ(MUST(LibraryFixture::read(*after, {0, 3 * kPiece})), want);
  EXPECT_FALSE(after->sealed());
  fixture.cache.unblock_stores();
}

// The old version is stored whole; the new file has its size and its time.
TEST(Write, WhatIsStoredOfAPathIsForgottenWhenThePathChanges) {
  const auto change = [](LibraryFixture& fixture, const std::string& how) {
    TreeWriter& writer = *fixture.library->writer();
    const std::string bytes = pattern(6, {0, 1000});
    if (how == "write") {
      const Ref<WritableFile> file = open_for_writing(fixture, "d/f");
      EXPECT_TRUE(write(fixture, *file, 0, bytes).ok());
    } else if (how == "rename") {
      fixture.origin.add_file("g", bytes);
      EXPECT_TRUE(
          writer.rename("g", "d/f", RenameHow::kReplace, ForgetScope::kFile, Deadline::never())
              .ok());
    } else if (how == "rename above") {
      EXPECT_TRUE(
          writer.rename("d", "e", RenameHow::kReplace, ForgetScope::kTree, Deadline::never()).ok());
    } else {
      EXPECT_TRUE(writer.remove("d/f", RemoveKind::kFile, Deadline::never()).ok());
      EXPECT_TRUE(writer.make("d/f", {}, Deadline::never()).ok());
    }
  };
  for (const std::string how : {"write", "rename", "rename above", "remove"}) {
    LibraryFixture fixture(by_path());
    fixture.origin.add_file("d/f", pattern(5, {0, 1000}));
    {
      const Ref<File> before = fixture.open("d/f");
      EXPECT_TRUE(LibraryFixture::read(*before, {0, 1000}).ok());
    }
    ASSERT_TRUE(fixture.drain());
    EXPECT_EQ(fixture.cache.stored_blocks("d/f"), 1U) << how;
    change(fixture, how);
    ASSERT_TRUE(fixture.drain());
    EXPECT_EQ(fixture.cache.stored_blocks("d/f"), 0U) << how;
  }
}

TEST(Write, FilesThatAreToldApartByIdentityAreNotForgotten) {
  LibraryFixture::Options options = by_path();
  options.origin.capabilities.identity = true;
  LibraryFixture fixture(options);
  fixture.origin.add_file("f", "x");
  EXPECT_TRUE(fixture.library->writer()->remove("f", RemoveKind::kFile, Deadline::never()).ok());
  ASSERT_TRUE(fixture.drain());
  EXPECT_EQ(fixture.cache.counts().forgets, 0U);
}

TEST(Write, AForeignChangeBetweenTwoOfOursIsNoticed) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "0123456789");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  EXPECT_FALSE(begin_write(fixture, *file, 0, "a").take().value().witnessed.foreign);
  EXPECT_FALSE(begin_write(fixture, *file, 1, "b").take().value().witnessed.foreign);
  fixture.origin.write("f", "foreign bytes");
  const Written written = begin_write(fixture, *file, 2, "c").take().value();
  EXPECT_TRUE(written.witnessed.foreign);
  ASSERT_TRUE(written.witnessed.info);
  EXPECT_EQ(written.witnessed.info->attributes.size_bytes, 13U);
  EXPECT_EQ(fixture.library->stats().foreign_changes.get(), 1U);
}

TEST(Write, TruncationTakesItsTurnBetweenWrites) {
  LibraryFixture fixture(writable());
  fixture.origin.add_file("f", "");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const PendingWrite before = begin_write(fixture, *file, 0, pattern(7, {0, 3 * kPiece}));
  const Result<Witnessed> cut = file->set_attributes({.size_bytes = 10}, Deadline::never());
  EXPECT_TRUE(cut.ok());
  EXPECT_TRUE(before.take().ok());
  EXPECT_EQ(fixture.origin.content("f"), pattern(7, {0, 10}));
}

TEST(WriteStream, TilesCoverTheRangeAndTilingAgainKeepsWhatIsDone) {
  WriteStream stream;
  tile({10, 100}, 40, stream.parts);
  ASSERT_EQ(stream.parts.size(), 3U);
  EXPECT_EQ(stream.parts[2].range, (ByteRange{90, 20}));
  stream.parts[0].state = WritePartState::kDone;
  stream.parts[0].done_bytes = 40;
  stream.parts[1].state = WritePartState::kFailed;
  stream.parts[1].done_bytes = 7;
  EXPECT_EQ(stream.collected_bytes(), 47U);
  tile_again(stream, 16);
  uint64_t at = 10;
  for (const WritePart& part : stream.parts) {
    EXPECT_EQ(part.range.offset_bytes, at);
    at = part.range.end_bytes();
  }
  EXPECT_EQ(at, 110U);
  EXPECT_EQ(stream.collected_bytes(), 47U);
  EXPECT_EQ(stream.front()->range.offset_bytes, 57U);
}

}  // namespace
}  // namespace netfs
