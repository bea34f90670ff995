// Goal: writes that are answered before the origin has them: nobody can tell, but by the time; each
// arrives, once and in order, or whoever must hear of it does.

#include <cerrno>
#include <gtest/gtest.h>
#include <optional>
#include <sched.h>
#include <string>

#include "netfs/library_stats.h"
#include "netfs/testing/writing.h"

namespace netfs {
namespace {

// What a file was told of its kept writes.
class Heard final : public LandingWatch {
 public:
  void landed(Witnessed witnessed, int error) override {
    sync::MutexLock lock(mutex_);
    ++count_;
    if (error != 0) last_error_ = error;
    last_ = std::move(witnessed);
  }
  [[nodiscard]] unsigned count() const {
    sync::MutexLock lock(mutex_);
    return count_;
  }
  [[nodiscard]] int last_error() const {
    sync::MutexLock lock(mutex_);
    return last_error_;
  }
  [[nodiscard]] Witnessed last() const {
    sync::MutexLock lock(mutex_);
    return last_;
  }

 private:
  mutable sync::Mutex mutex_{kSimulatedOriginLock};
  unsigned count_ GUARDED_BY(mutex_) = 0;
  int last_error_ GUARDED_BY(mutex_) = 0;
  Witnessed last_ GUARDED_BY(mutex_);
};

TEST(WriteBehind, AWriteIsAnsweredBeforeTheOriginHasIt) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "0123456789");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const Ref<Heard> heard = make_ref<Heard>();
  file->watch(heard);
  const Written written = MUST(begin_write(fixture, *file, 3, "abc").take());
  EXPECT_TRUE(written.kept);
  EXPECT_EQ(written.bytes, 3U);
  EXPECT_TRUE(file->dirty());
  EXPECT_EQ(fixture.origin.content("f"), "0123456789");
  EXPECT_EQ(fixture.library->stats().bytes_dirty.load(), 3U);
  hold_no_more(fixture);
  ASSERT_TRUE(settle(*file));
  EXPECT_FALSE(file->dirty());
  EXPECT_EQ(fixture.origin.content("f"), "012abc6789");
  EXPECT_EQ(heard->count(), 1U);
  EXPECT_EQ(heard->last_error(), 0);
  EXPECT_TRUE(heard->last().info) << "a write that was alone shows what the file is like";
  EXPECT_EQ(fixture.library->stats().bytes_dirty.load(), 0U);
  EXPECT_EQ(file->write_errors().serial, 0U);
}

TEST(WriteBehind, ReadersSeeWhatIsKept) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "0123456789");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  ASSERT_TRUE(write(fixture, *file, 3, "abc").ok());
  ASSERT_TRUE(write(fixture, *file, 4, "XY").ok());
  ASSERT_TRUE(write(fixture, *file, 15, "end").ok());
  const std::string want("012aXY6789\0\0\0\0\0end", 18);
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {0, 100})), want);
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {11, 3})), std::string(3, '\0'));
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {17, 100})), "d");
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {18, 100})), "");
  const uint64_t reads = fixture.origin.counts().reads;
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {3, 3})), "aXY");
  EXPECT_EQ(fixture.origin.counts().reads, reads) << "the origin has nothing of it";
  hold_no_more(fixture);
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {0, 100})), want);
}

TEST(WriteBehind, NeighboursThatWaitGoOutAsOne) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  // All of the window is taken by one write elsewhere in the file, and the next touches it.
  ASSERT_TRUE(write(fixture, *file, 0, "x").ok());
  std::string want = pattern(1, {0, 3000});
  for (uint64_t at = 0; at < want.size(); at += 30) {
    ASSERT_TRUE(write(fixture, *file, at, want.substr(at, 30)).ok());
  }
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(1, soon()));
  hold_no_more(fixture);
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(fixture.origin.content("f"), want);
  EXPECT_LE(fixture.origin.counts().writes, 4U) << "the first, twice, and the rest together";
}

TEST(WriteBehind, WritesThatDoNotTouchAreOnTheirWayTogetherAndOthersWait) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  std::string want = pattern(5, {0, 6 * kPiece});
  for (const uint64_t at : {0, 2, 4}) {
    ASSERT_TRUE(write(fixture, *file, at * kPiece, want.substr(at * kPiece, kPiece)).ok());
  }
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(3, soon()));
  const std::string over = pattern(6, {0, kPiece});
  ASSERT_TRUE(write(fixture, *file, 2 * kPiece + 100, over).ok());
  EXPECT_EQ(fixture.origin.counts().writes, 3U) << "it touches one that is on its way";
  hold_no_more(fixture);
  ASSERT_TRUE(settle(*file));
  want.replace(kPiece, kPiece, std::string(kPiece, '\0'));
  want.replace(3 * kPiece, kPiece, std::string(kPiece, '\0'));
  want.replace(2 * kPiece + 100, kPiece, over);
  want.resize(5 * kPiece);
  EXPECT_TRUE(fixture.origin.content("f") == want);
}

TEST(WriteBehind, ASmallWriteWaitsForItsNeighboursUnlessSomebodyWaitsForIt) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  ASSERT_TRUE(write(fixture, *file, 0, pattern(7, {0, kPiece})).ok());
  ASSERT_TRUE(write(fixture, *file, kPiece, "small").ok());
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(1, soon()));
  EXPECT_EQ(fixture.origin.counts().writes, 1U);
  const PendingWrite settled;
  file->settle([done = settled.callback()]() mutable { done(Written{}); });
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(2, soon()));
  hold_no_more(fixture);
  EXPECT_TRUE(settled.take().ok());
  EXPECT_TRUE(fixture.origin.content("f") == pattern(7, {0, kPiece}) + "small");
}

// What it has may still come to the origin, so nothing may overtake it; nor wait for ever.
TEST(WriteBehind, WhatComesBehindOneThatMayNeverEndHasItsOwnTime) {
  LibraryFixture::Options options = write_behind();
  options.timeout = std::chrono::seconds(2);
  LibraryFixture fixture(options);
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  ASSERT_TRUE(write(fixture, *file, 0, "never answered").ok());
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(file->write_errors().last, ETIMEDOUT);
  EXPECT_TRUE(write(fixture, *file, 3, "behind").is_error(ETIMEDOUT));
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(fixture.origin.counts().writes, 1U);
  hold_no_more(fixture);
  EXPECT_TRUE(write(fixture, *file, 0, "after").ok());
}

// The first write's answer says what the file was like between the two.
TEST(WriteBehind, WhatAWriteShowsOfTheFileIsToldOnlyIfItIsAllOfIt) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const Ref<Heard> heard = make_ref<Heard>();
  file->watch(heard);
  ASSERT_TRUE(write(fixture, *file, 0, "first").ok());
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(1, soon()));
  const uint64_t keeps = file->keeps();
  ASSERT_TRUE(write(fixture, *file, 3, "second").ok());
  EXPECT_NE(file->keeps(), keeps);
  fixture.origin.set_write_fault([](const SimulatedRead& write) -> std::optional<Fault> {
    if (write.range.offset_bytes == 3) return Fault{.kind = Fault::kHang};
    return std::nullopt;
  });
  fixture.origin.release_hung();
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(1, soon()));
  EXPECT_EQ(heard->count(), 1U);
  EXPECT_FALSE(heard->last().info) << "the second was kept meanwhile";
  hold_no_more(fixture);
  ASSERT_TRUE(settle(*file));
  ASSERT_TRUE(heard->last().info);
  EXPECT_EQ(heard->last().info->attributes.size_bytes, 9U);
  EXPECT_EQ(heard->last().keeps, file->keeps());
}

TEST(WriteBehind, SettlingDoesNotWaitForWritesThatCameLater) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  hold(fixture);
  ASSERT_TRUE(write(fixture, *file, 0, "first").ok());
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(1, soon()));
  const PendingWrite settled;
  file->settle([done = settled.callback()]() mutable { done(Written{}); });
  EXPECT_FALSE(settled.done());
  // Only what comes after hangs from now on.
  fixture.origin.set_write_fault([](const SimulatedRead& write) -> std::optional<Fault> {
    if (write.range.offset_bytes >= 1000) return Fault{.kind = Fault::kHang};
    return std::nullopt;
  });
  ASSERT_TRUE(write(fixture, *file, 1000, "later").ok());
  fixture.origin.release_hung();
  EXPECT_TRUE(settled.take().ok());
  EXPECT_EQ(fixture.origin.content("f").substr(0, 5), "first");
  hold_no_more(fixture);
  ASSERT_TRUE(settle(*file));
}

TEST(WriteBehind, WhatFailsIsToldAndTheNextWriteHearsOfItItself) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault([](const SimulatedRead&) { return Fault{.error = ENOSPC}; });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const Ref<Heard> heard = make_ref<Heard>();
  file->watch(heard);
  ASSERT_TRUE(write(fixture, *file, 0, "lost").ok());
  ASSERT_TRUE(settle(*file));
  const WriteErrors first = file->write_errors();
  EXPECT_NE(first.serial, 0U);
  EXPECT_EQ(first.last, ENOSPC);
  EXPECT_EQ(heard->last_error(), ENOSPC);
  EXPECT_EQ(fixture.library->stats().bytes_lost.get(), 4U);
  EXPECT_EQ(MUST(LibraryFixture::read(*file, {0, 10})), "") << "nobody is shown what was lost";
  EXPECT_TRUE(write(fixture, *file, 0, "again").is_error(ENOSPC));
  EXPECT_EQ(file->write_errors().serial, first.serial) << "its writer was told";
  fixture.origin.set_write_fault(nullptr);
  EXPECT_FALSE(begin_write(fixture, *file, 0, "there").take().value().kept);
  EXPECT_TRUE(begin_write(fixture, *file, 5, "kept").take().value().kept);
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(fixture.origin.content("f"), "therekept");
}

TEST(WriteBehind, WhatFailsInThePartIsToldAndTheFrontIsThere) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault([](const SimulatedRead& write) -> std::optional<Fault> {
    if (write.range.offset_bytes >= kPiece) return Fault{.error = EDQUOT};
    return std::nullopt;
  });
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const std::string bytes = pattern(2, {0, 2 * kPiece});
  ASSERT_TRUE(write(fixture, *file, 0, bytes).ok());
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(file->write_errors().last, EDQUOT);
  EXPECT_TRUE(fixture.origin.content("f") == bytes.substr(0, kPiece));
  EXPECT_EQ(fixture.library->stats().bytes_lost.get(), kPiece);
}

TEST(WriteBehind, WhenThereIsNoRoomTheWriterWaitsForTheOrigin) {
  LibraryFixture fixture(write_behind(32 << 10));
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  std::vector<PendingWrite> all;
  for (uint64_t i = 0; i < 6; ++i) {
    all.push_back(begin_write(fixture, *file, i << 13, pattern(3, {i << 13, 8192})));
  }
  EXPECT_TRUE(all[0].done());
  EXPECT_FALSE(all[5].done());
  hold_no_more(fixture);
  for (const PendingWrite& one : all) EXPECT_TRUE(one.take().ok());
  ASSERT_TRUE(settle(*file));
  EXPECT_TRUE(fixture.origin.content("f") == pattern(3, {0, 6 << 13}));
}

TEST(WriteBehind, AnOriginThatNeverAnswersCostsOneTimeoutHoweverMuchIsKept) {
  LibraryFixture::Options options = write_behind();
  options.timeout = std::chrono::seconds(2);
  LibraryFixture fixture(options);
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(write(fixture, *file, 0, "over and over").ok());
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(file->write_errors().last, ETIMEDOUT);
  EXPECT_EQ(fixture.library->stats().timeouts.get(), 1U) << "those behind ended with the first";
  EXPECT_EQ(fixture.library->stats().bytes_lost.get(), 20U * 13);
  hold_no_more(fixture);
  EXPECT_TRUE(write(fixture, *file, 0, "after").ok());
  EXPECT_EQ(fixture.origin.content("f"), "after");
}

TEST(WriteBehind, ALibraryThatClosesSaysWhatItCouldNotBring) {
  LibraryFixture::Options options = write_behind();
  options.timeout = std::chrono::seconds(2);
  LibraryFixture fixture(options);
  fixture.origin.add_file("f", "");
  fixture.origin.set_write_fault([](const SimulatedRead&) { return Fault{.error = ENOTCONN}; });
  {
    const Ref<WritableFile> file = open_for_writing(fixture, "f");
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(write(fixture, *file, 0, "over and over").ok());
    fixture.library->close();
    ASSERT_TRUE(settle(*file));
    EXPECT_NE(file->write_errors().serial, 0U);
    EXPECT_FALSE(file->dirty());
  }
  EXPECT_EQ(fixture.library->stats().bytes_lost.get(), 20U * 13);
  EXPECT_EQ(fixture.pool.used_bytes(), 0U);
}

// Several that were on their way together show nothing of the file: whoever waited for them looks,
// at once, while the last of them has yet to give back its turn.
TEST(WriteBehind, TheNextWriteIsMeasuredByALookAtOnceAfterTheLastHasLanded) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const Ref<Heard> heard = make_ref<Heard>();
  file->watch(heard);
  for (const uint64_t at : {0, 2, 4}) {
    ASSERT_TRUE(write(fixture, *file, at * kPiece, pattern(5, {at * kPiece, kPiece})).ok());
  }
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(3, soon()));
  const PendingWrite settled;
  file->settle([&fixture, &file, done = settled.callback()]() mutable {
    const Result<NodeInfo> seen = fixture.origin.stat("f", soon());
    if (seen.ok()) file->saw(seen.value().validator);
    done(Written{});
  });
  hold_no_more(fixture);
  ASSERT_TRUE(settled.take().ok());
  fixture.origin.write("f", "foreign bytes");
  ASSERT_TRUE(write(fixture, *file, 1, "ours").ok());
  ASSERT_TRUE(settle(*file));
  EXPECT_TRUE(heard->last().foreign);
}

// The next one may go out as soon, beside one that holds its turn and changes nothing more: it
// shows what others made of the file before it.
TEST(WriteBehind, AWriteThatGoesOutAtOnceAfterTheLastHasLandedIsAlone) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  hold(fixture);
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  const Ref<Heard> heard = make_ref<Heard>();
  file->watch(heard);
  ASSERT_TRUE(write(fixture, *file, 0, pattern(5, {0, kPiece})).ok());
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(1, soon()));
  const PendingWrite settled;
  file->settle([&fixture, &file, done = settled.callback()]() mutable {
    fixture.origin.write("f", "foreign bytes");
    const ByteRange range{2 * kPiece, kPiece};
    (void)begin_write(fixture, *file, range.offset_bytes, pattern(5, range));
    done(Written{});
  });
  hold_no_more(fixture);
  ASSERT_TRUE(settled.take().ok());
  ASSERT_TRUE(settle(*file));
  EXPECT_TRUE(heard->last().foreign);
  EXPECT_TRUE(heard->last().info) << "as of any write that is alone";
}

TEST(WriteBehind, AllFilesOfALibraryAreSettledAtOnceAndLiveThatLong) {
  LibraryFixture fixture(write_behind());
  for (const std::string name : {"a", "b"}) {
    fixture.origin.add_file(name, "");
    hold(fixture);
    const Ref<WritableFile> file = open_for_writing(fixture, name);
    ASSERT_TRUE(write(fixture, *file, 0, "bytes of " + name).ok());
  }
  ASSERT_TRUE(fixture.origin.wait_for_hung_writes(2, soon()));
  hold_no_more(fixture);
  EXPECT_TRUE(fixture.library->writer()->settle_all(soon()));
  EXPECT_EQ(fixture.origin.content("a"), "bytes of a");
  EXPECT_EQ(fixture.origin.content("b"), "bytes of b");
}

TEST(WriteBehind, TruncationTakesItsTurnBehindWhatIsKept) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  for (uint64_t i = 0; i < 30; ++i) {
    ASSERT_TRUE(write(fixture, *file, i * 1000, pattern(4, {i * 1000, 1000})).ok());
  }
  EXPECT_TRUE(file->set_attributes({.size_bytes = 2500}, Deadline::never()).ok());
  ASSERT_TRUE(write(fixture, *file, 2500, "end").ok());
  ASSERT_TRUE(settle(*file));
  EXPECT_EQ(fixture.origin.content("f"), pattern(4, {0, 2500}) + "end");
}

TEST(WriteBehind, ADirectWriteIsAnsweredByTheOrigin) {
  LibraryFixture fixture(write_behind());
  fixture.origin.add_file("f", "");
  const Ref<WritableFile> file = open_for_writing(fixture, "f");
  ASSERT_TRUE(write(fixture, *file, 0, "kept first").ok());
  const Written direct =
      MUST(begin_write(fixture, *file, 5, "direct", WritePieces::kOneByOne).take());
  EXPECT_FALSE(direct.kept);
  EXPECT_EQ(fixture.origin.content("f"), "kept direct") << "and what came before it came first";
}

}  // namespace
}  // namespace netfs
