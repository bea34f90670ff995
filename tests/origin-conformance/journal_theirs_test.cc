// Goal: what is in doubt is told from somebody else's doing, and what we do ourselves is never
// taken for theirs.

#include <atomic>

#include "tests/origin-conformance/journal_conflict.h"

namespace netfs::test {
namespace {

// Two edits of one document agree nearly everywhere.
TEST_F(JournalConflict, AnEditOfTheSameVersionIsTheirsAlsoWhenOursWasCutOffInItsMidst) {
  const auto old = [] {
    std::string bytes(900'000, '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 13);
    return bytes;
  }();
  std::string ours = old;
  std::string theirs = old;
  ours.replace(400'000, 10, "OURS-EDIT!");
  theirs.replace(700'000, 10, "THEIR-EDIT");
  for (const bool cut : {false, true}) {
    for (const bool restarts : {false, true}) {
      for (const int landed : {0, 1, 4, 8}) {
        SCOPED_TRACE(std::string(cut ? "cut first, " : "in place, ") + std::to_string(landed) +
                     (restarts ? ", another process" : ""));
        std::filesystem::remove(tree_ + "/f.netfs-conflict-1");
        write_file(tree_ + "/f", old);
        start(false);
        if (cut) {
          ASSERT_TRUE(writer().set_attributes({.path = "f"}, {.size_bytes = 0}, soon()).ok());
        }
        for (size_t at = 0; at < ours.size(); at += 100'000) {
          write("f", at, ours.substr(at, 100'000));
        }
        // Nothing comes through any more behind some of the writes.
        flaky_->set_flaws([landed, n = 0](const std::string& call, const std::string&) mutable {
          n += call == "write" ? 1 : 0;
          return n > landed ? Flaw::kBefore : Flaw::kNone;
        });
        start();
        ASSERT_TRUE(wait_until([&] { return !origin_->journal().status().last_error.empty(); },
                               std::chrono::seconds(20)));
        write_file(tree_ + "/f", theirs);
        if (restarts) origin_.reset();
        back();
        if (restarts) start();
        drain();
        EXPECT_TRUE(there("f") == theirs);
        EXPECT_TRUE(there("f.netfs-conflict-1") == ours);
        EXPECT_EQ(origin_->journal().status().conflicts, 1U);
        origin_.reset();
        // And without them it is no conflict.
        std::filesystem::remove(tree_ + "/f.netfs-conflict-1");
        write_file(tree_ + "/f", old);
        start(false);
        write("f", 50, ours.substr(50, 500'000));
        fail_once("write", Flaw::kAfter);
        start();
        drain();
        EXPECT_TRUE(there("f") == ours.substr(0, 500'050) + old.substr(500'050));
        EXPECT_EQ(origin_->journal().status().conflicts, 0U);
        origin_.reset();
      }
    }
  }
}

// As a write leaves it that failed before its first byte, for want of room.
TEST_F(JournalConflict, AFileOfWhichNothingIsNewButTheTimeIsNoConflict) {
  const std::string old(300'000, 'o');
  for (const bool restarts : {false, true}) {
    SCOPED_TRACE(restarts ? "another process" : "the same process");
    write_file(tree_ + "/f", old);
    start(false);
    write("f", 100'000, "OURS");
    // Nor is it looked at before all of it is as it was.
    flaky_->set_flaws([n = 0](const std::string& call, const std::string&) mutable {
      n += call == "write" ? 1 : 0;
      return n > 0 ? Flaw::kBefore : Flaw::kNone;
    });
    start();
    ASSERT_TRUE(wait_until([&] { return !origin_->journal().status().last_error.empty(); },
                           std::chrono::seconds(20)));
    write_file(tree_ + "/f", old);
    if (restarts) origin_.reset();
    back();
    if (restarts) start();
    drain();
    EXPECT_TRUE(there("f") == std::string(old).replace(100'000, 4, "OURS"));
    EXPECT_EQ(origin_->journal().status().conflicts, 0U);
    origin_.reset();
  }
}

// Ours is done, and nobody has heard of it; they change it where we write nothing.
TEST_F(JournalConflict, AnEditWhereOursWritesNothingIsTheirsWhileOursIsInDoubt) {
  const std::string old(100'000, 'o');
  for (const bool restarts : {false, true}) {
    for (const char* how : {"before it", "behind it", "cut", "appended to"}) {
      for (const bool edited : {true, false}) {
        SCOPED_TRACE(std::string(how) + (edited ? ", edited" : "") + (restarts ? ", restart" : ""));
        std::filesystem::remove(tree_ + "/f.netfs-conflict-1");
        write_file(tree_ + "/f", old);
        start(false);
        std::string ours = old;
        uint64_t at = 50'000;
        if (how == std::string("cut")) {
          ours.resize(60'000);
          ASSERT_TRUE(writer().set_attributes({.path = "f"}, {.size_bytes = 60'000}, soon()).ok());
        }
        if (how == std::string("appended to")) at = old.size();
        ours.replace(at, 4, "OURS");
        write("f", at, "OURS");
        flaky_->set_flaws([n = 0](const std::string& call, const std::string&) mutable {
          n += call == "write" ? 1 : 0;
          return n == 0 ? Flaw::kNone : Flaw::kBefore;
        });
        start();
        ASSERT_TRUE(wait_until([&] { return !origin_->journal().status().last_error.empty(); },
                               std::chrono::seconds(20)));
        // What came through is what is there, or a part of it.
        std::string theirs = ours;
        if (edited) theirs.replace(how == std::string("behind it") ? 55'000 : 700, 6, "THEIRS");
        write_file(tree_ + "/f", theirs);
        if (restarts) origin_.reset();
        back();
        if (restarts) start();
        drain();
        EXPECT_TRUE(there("f") == theirs);
        EXPECT_EQ(origin_->journal().status().conflicts, edited ? 1U : 0U);
        // Ours has theirs where nothing was written.
        EXPECT_EQ(there("f.netfs-conflict-1") == theirs, edited);
        origin_.reset();
      }
    }
  }
}

// More of it than is read for that: it is not known whether somebody was at it.
TEST_F(JournalConflict, InALongFileWhatIsInDoubtIsAConflictUnlessWeHaveMadeIt) {
  const uint64_t long_enough = journal::kRestReadMax + 8192;
  for (const bool made : {false, true}) {
    SCOPED_TRACE(made ? "made here" : "theirs");
    std::filesystem::remove(tree_ + "/f");
    if (!made) write_file(tree_ + "/f", std::string(long_enough, 'o'));
    const uint64_t asked = flaky_->bytes_asked_for();
    start();
    if (made) {
      ASSERT_TRUE(writer().create("f", {.permissions = 0644}, soon()).ok());
      const std::string part(1 << 20, 'o');
      for (uint64_t at = 0; at < long_enough; at += part.size()) {
        write("f", at, part.substr(0, std::min<uint64_t>(part.size(), long_enough - at)));
      }
      drain();
    }
    EXPECT_EQ(flaky_->bytes_asked_for(), asked) << "nothing of what we brought is read again";
    fail_once("write", Flaw::kAfter);
    write("f", 4096, "ours");
    drain();
    EXPECT_EQ(origin_->journal().status().conflicts, made ? 0U : 1U);
    const std::string beside = there("f.netfs-conflict-1");
    EXPECT_EQ(beside.size(), made ? std::string("(2)").size() : long_enough);
    EXPECT_EQ(beside.find("ourso"), made ? std::string::npos : 4096U);
    EXPECT_TRUE(there("f").size() == long_enough);
    back();
    origin_.reset();
    std::filesystem::remove(tree_ + "/f.netfs-conflict-1");
  }
}

// Of a file of the origin's the rest is read once, however often a little of it is changed.
TEST_F(JournalConflict, WhatStaysAsItIsIsReadOnce) {
  const std::string old(400'000, 'o');
  write_file(tree_ + "/f", old);
  start();
  write("f", 8192, std::string(4096, 'x'));
  drain();
  EXPECT_EQ(flaky_->bytes_asked_for(), old.size());
  for (int i = 1; i < 10; ++i) {
    const uint64_t before = flaky_->bytes_asked_for();
    write("f", 8192ULL * i, std::string(4096, 'y'));
    drain();
    // What is written over, and what is behind the last whole block.
    EXPECT_EQ(flaky_->bytes_asked_for() - before, 4096 + old.size() % 4096) << i;
  }
  EXPECT_EQ(origin_->journal().status().conflicts, 0U);
}

TEST_F(JournalConflict, WhatComesThereWhileABatchIsOnItsWayIsNotTakenForOurs) {
  for (const bool replaced : {false, true}) {
    for (const char* moment : {"write", "set_attributes", "sync"}) {
      SCOPED_TRACE(std::string(moment) + (replaced ? ", by a rename" : ", in place"));
      std::filesystem::remove(tree_ + "/f.netfs-conflict-1");
      write_file(tree_ + "/f", "0123456789");
      start(false);
      write("f", 0, "ours");
      flaky_->set_flaws([&, once = false](const std::string& call, const std::string&) mutable {
        if (call != moment || std::exchange(once, true)) return Flaw::kNone;
        write_file(tree_ + (replaced ? "/t" : "/f"), "0123456789, and theirs");
        if (replaced) std::filesystem::rename(tree_ + "/t", tree_ + "/f");
        return Flaw::kNone;
      });
      start();
      drain();
      const bool before = !replaced && std::string(moment) == "write";
      EXPECT_EQ(there("f"), (before ? "ours" : "0123") + std::string("456789, and theirs"));
      EXPECT_EQ(there("f.netfs-conflict-1"), "ours456789, and theirs");
      EXPECT_EQ(origin_->journal().status().conflicts, 1U);
      back();
      write("f", 4, "later");
      drain();
      EXPECT_EQ(there("f").substr(4), "later9, and theirs") << "theirs has been seen";
      origin_.reset();
    }
  }
}

TEST_F(JournalConflict, OursIsWholeAlsoWhenEarlierBatchesOfItAreThereAlready) {
  for (const bool restarts : {false, true}) {
    std::filesystem::remove(tree_ + "/f.netfs-conflict-1");
    write_file(tree_ + "/f", "0123456789");
    start(false);
    ASSERT_TRUE(writer().set_attributes({.path = "f"}, {.size_bytes = 0}, soon()).ok());
    std::string ours;
    for (int i = 0; i < 700; ++i) {
      const std::string line = "line " + std::to_string(i) + " of ours\n";
      write("f", ours.size(), line);
      ours += line;
    }
    const std::string theirs(ours.size() + 100, 't');
    // While the second batch is on its way.
    std::atomic<bool> placed{false};
    flaky_->set_flaws([&, n = 0](const std::string& call, const std::string&) mutable {
      if (call == "write" && ++n == 300) {
        write_file(tree_ + "/t", theirs);
        std::filesystem::rename(tree_ + "/t", tree_ + "/f");
        placed = true;
      }
      return restarts && n >= 300 ? Flaw::kBefore : Flaw::kNone;
    });
    start();
    if (restarts) {
      ASSERT_TRUE(wait_until([&] { return placed.load(); }, std::chrono::seconds(60)));
      EXPECT_FALSE(drains_within(std::chrono::milliseconds(100)));
      origin_.reset();
      back();
      start();
    }
    drain();
    EXPECT_EQ(there("f"), theirs);
    EXPECT_EQ(there("f.netfs-conflict-1"), ours);
    back();
    origin_.reset();
  }
}

TEST_F(JournalConflict, ADirectoryThatIsReplacedHasNoVersionsThatCouldBeTheirs) {
  std::filesystem::create_directory(tree_ + "/e");
  start();
  // Both of the origin's own; one is known here, and what is taken out of it changes it.
  ASSERT_TRUE(writer().create("d/x", {.permissions = 0644}, soon()).ok());
  drain();
  away();
  ASSERT_TRUE(writer().remove("d/x", RemoveKind::kFile, soon()).ok());
  ASSERT_TRUE(writer().remove("d/b", RemoveKind::kFile, soon()).ok());
  ASSERT_TRUE(writer().rename("e", "d", RenameHow::kReplace, soon()).ok());
  back();
  drain();
  EXPECT_EQ(origin_->journal().status().conflicts, 0U);
  EXPECT_FALSE(std::filesystem::exists(tree_ + "/e"));
  EXPECT_TRUE(std::filesystem::is_empty(tree_ + "/d"));
  // Something of theirs in it is.
  std::filesystem::create_directory(tree_ + "/e");
  away();
  ASSERT_TRUE(writer().rename("e", "d", RenameHow::kReplace, soon()).ok());
  write_file(tree_ + "/d/theirs", "theirs");
  back();
  drain();
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
  EXPECT_EQ(there("d/theirs"), "theirs");
  EXPECT_TRUE(std::filesystem::is_empty(tree_ + "/d.netfs-conflict-1"));
}

TEST_F(JournalConflict, ADirectoryThatSomebodyRemovesIsMadeAnewForWhatWasMadeInIt) {
  start();
  ASSERT_TRUE(
      writer().make("d/e", {.type = FileType::kDirectory, .permissions = 0755}, soon()).ok());
  ASSERT_TRUE(writer().create("d/e/old", {.permissions = 0644}, soon()).ok());
  write("d/e/old", 0, "OURS");
  drain();
  away();
  ASSERT_TRUE(writer().create("d/e/new", {.permissions = 0644}, soon()).ok());
  write("d/e/new", 0, "ours");
  write("d/e/old", 4, " again");
  ASSERT_TRUE(writer().rename("g", "d/e/g", RenameHow::kReplace, soon()).ok());
  ASSERT_TRUE(writer().sync_all(soon()).ok());
  std::filesystem::remove_all(tree_ + "/d");
  back();
  drain();
  EXPECT_EQ(there("d/e/new"), "ours");
  EXPECT_EQ(there("d/e/g"), "the other file");
  EXPECT_NE(there("d/e/old.netfs-conflict-1").find(" again"), std::string::npos);
  EXPECT_EQ(origin_->journal().status().set_aside, 0U);
  EXPECT_EQ(origin_->journal().status().conflicts, 2U);
  const Result<std::string> seen = read_file(*origin_, "d/e/new");
  EXPECT_TRUE(seen.ok() && seen.value() == "ours");
}

TEST_F(JournalConflict, AFileThatIsWrittenToWhereWeMovedItIsTheirs) {
  start(false);
  ASSERT_TRUE(writer().rename("f", "h", RenameHow::kReplace, soon()).ok());
  ASSERT_TRUE(writer().remove("h", RemoveKind::kFile, soon()).ok());
  // Carried out, and nobody has heard of it.
  flaky_->set_flaws([&, step = 0](const std::string& call, const std::string&) mutable {
    if (call == "rename" && step == 0) return ++step, Flaw::kAfter;
    if (call == "stat" && step == 1) ++step, write_file(tree_ + "/h", "theirs, and longer");
    return Flaw::kNone;
  });
  start();
  drain();
  EXPECT_EQ(there("h"), "theirs, and longer");
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
}

// Also where a rename changes what the origin tells versions by.
TEST_F(JournalConflict, ARenameOfOursChangesNoVersionForWhoeverLooks) {
  for (const bool written : {false, true}) {
    start();
    if (written) write("f", 0, "ours");
    drain();
    const std::unique_ptr<OriginFile> file = origin_->open("f", soon()).value();
    const Validator before = origin_->stat("f", soon()).value().validator;
    away();
    ASSERT_TRUE(writer().rename("f", "h", RenameHow::kReplace, soon()).ok());
    EXPECT_EQ(origin_->stat("h", soon()).value().validator, before);
    back();
    drain();
    EXPECT_EQ(origin_->stat("h", soon()).value().validator, before);
    std::string bytes(4, '\0');
    const ReadOutcome read =
        journal::WaitedRead(*file, {0, 4}, std::as_writable_bytes(std::span(bytes)), soon())
            .run(*origin_);
    ASSERT_TRUE(read.transferred_bytes.ok());
    EXPECT_EQ(bytes, written ? "ours" : "0123");
    if (read.validator_after) {
      EXPECT_EQ(*read.validator_after, before);
    }
    // Somebody else's does.
    write_file(tree_ + "/h", "theirs");
    const Validator theirs = origin_->stat("h", soon()).value().validator;
    EXPECT_FALSE(theirs == before);
    ASSERT_TRUE(writer().rename("h", "f", RenameHow::kReplace, soon()).ok());
    EXPECT_EQ(origin_->stat("f", soon()).value().validator, theirs);
    drain();
    EXPECT_EQ(origin_->stat("f", soon()).value().validator, theirs);
    write_file(tree_ + "/f", "0123456789");
  }
}

// Whoever looks for a name before it is made, and comes to make it when that is all at the origin.
TEST_F(JournalConflict, WhatWasMadeSinceSomebodyLookedKeepsItsName) {
  start();
  const std::unique_ptr<OriginFile> file =
      std::move(writer().create("new", {.permissions = 0644}, soon()).value().file);
  drain();
  using journal::Journal;
  using journal::RecordKind;
  Journal::Wanted make{.record = {.kind = RecordKind::kMake, .path = "new"}};
  EXPECT_EQ(origin_->journal().commit(std::move(make)).code(), EEXIST);
  Journal::Wanted rename{
      .record = {
          .kind = RecordKind::kRename, .path = "g", .to = "new", .how = RenameHow::kNoReplace}};
  EXPECT_EQ(origin_->journal().commit(std::move(rename)).code(), EEXIST);
  EXPECT_TRUE(WaitedWrite(*file, 0, "bytes").run(writer()).transferred_bytes.ok());
  drain();
  EXPECT_EQ(there("new"), "bytes");
}

}  // namespace
}  // namespace netfs::test
