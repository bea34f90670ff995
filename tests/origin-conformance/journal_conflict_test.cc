// Goal: somebody else's version is never written over and ours is kept beside it, whatever fails
// between, and whoever starts anew; and what cannot go on is set aside and told.

#include "tests/origin-conformance/journal_conflict.h"

#include <atomic>

namespace netfs::test {
namespace {

TEST_F(JournalConflict, WhatSomebodyElseMakesOfAFileWhileTheOriginIsAwayStays) {
  start();
  away();
  write("f", 0, "ours");
  EXPECT_FALSE(drains_within(std::chrono::milliseconds(50)));
  write_file(tree_ + "/f", "theirs----");
  back();
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  EXPECT_EQ(there("f.netfs-conflict-1"),
            "ours"
            "rs----");
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
}

// The matrix: what is done here, which call fails and how, and whether a process starts between.
TEST_F(JournalConflict, IsAConflictWhateverCallFailsInItAndWhoeverGoesOn) {
  for (const char* call :
       {"stat", "open_for_writing", "create", "open", "write", "set_attributes", "sync"}) {
    for (const Flaw flaw : {Flaw::kBefore, Flaw::kAfter}) {
      for (const bool restarts : {false, true}) {
        SCOPED_TRACE(std::string(call) + (flaw == Flaw::kAfter ? " unheard" : " failed") +
                     (restarts ? ", and another process" : ""));
        disk_.restart(SimDisk::Lost::kNothing, 1);
        std::filesystem::remove(tree_ + "/f.netfs-conflict-1");
        write_file(tree_ + "/f", "0123456789");
        start(false);
        write("f", 0, "ours");
        write("f", 5, "MORE");
        write_file(tree_ + "/f", "theirs----");
        start(false);
        fail_once(call, flaw);
        if (restarts) {
          // It stops at that call.
          flaky_->set_flaws([call = std::string(call), flaw, failed = false](
                                const std::string& now, const std::string&) mutable {
            if (failed) return Flaw::kBefore;
            failed = now == call;
            return failed ? flaw : Flaw::kNone;
          });
          start();
          (void)drains_within(std::chrono::milliseconds(20));
          origin_.reset();
          back();
        }
        start();
        drain();
        EXPECT_EQ(there("f"), "theirs----");
        EXPECT_EQ(there("f.netfs-conflict-1"), "oursrMORE-");
        EXPECT_FALSE(std::filesystem::exists(tree_ + "/f.netfs-conflict-2"));
        EXPECT_EQ(origin_->journal().status().set_aside, 0U);
        origin_.reset();
      }
    }
  }
}

TEST_F(JournalConflict, WhatComesLaterGoesBesideAsWellAlsoAfterAStart) {
  start(false);
  write("f", 0, "ours");
  // Another batch of the same file.
  ASSERT_TRUE(writer().create("n", {.permissions = 0644}, soon()).ok());
  write("f", 5, "MORE");
  write_file(tree_ + "/f", "theirs----");
  // It ends behind the first.
  flaky_->set_flaws([](const std::string& call, const std::string&) {
    return call == "make" ? Flaw::kBefore : Flaw::kNone;
  });
  start();
  EXPECT_FALSE(drains_within(std::chrono::milliseconds(50)));
  back();
  start();
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  EXPECT_EQ(there("f.netfs-conflict-1"), "oursrMORE-");
}

TEST_F(JournalConflict, ARenameThatWasNotCarriedOutIsNotForgottenByTheNextProcess) {
  start(false);
  ASSERT_TRUE(writer().rename("f", "g", RenameHow::kReplace, soon()).ok());
  ASSERT_TRUE(writer().create("n", {.permissions = 0644}, soon()).ok());
  write("g", 0, "ours");
  write_file(tree_ + "/g", "theirs, and longer");
  flaky_->set_flaws([](const std::string& call, const std::string&) {
    return call == "make" ? Flaw::kBefore : Flaw::kNone;
  });
  start();
  EXPECT_FALSE(drains_within(std::chrono::milliseconds(50)));
  back();
  start();
  drain();
  EXPECT_EQ(there("g"), "theirs, and longer");
  EXPECT_EQ(there("g.netfs-conflict-1"), "ours456789");
}

TEST_F(JournalConflict, WhatWasNotBegunIsLookedAtAlsoAfterAStart) {
  start();
  write("g", 0, "xx");
  drain();
  away();
  write("g", 4, "yy");
  EXPECT_FALSE(drains_within(std::chrono::milliseconds(20)));
  back();
  start(false);
  write("f", 0, "ours");
  write_file(tree_ + "/f", "theirs----");
  start();
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  EXPECT_EQ(there("f.netfs-conflict-1"), "oursrs----");
  EXPECT_EQ(there("g").substr(0, 6), "xxe yy");
}

TEST_F(JournalConflict, ARenameOfWhichNobodyHeardIsNotDoneTwiceNorCalledOff) {
  start();
  ASSERT_TRUE(writer().create("new", {.permissions = 0644}, soon()).ok());
  drain();
  // Carried out, and then the look at what came of it fails.
  flaky_->set_flaws([step = 0](const std::string& call, const std::string&) mutable {
    if (step == 0 && call == "rename") return ++step, Flaw::kAfter;
    if (step >= 1 && step < 6 && call == "stat") return ++step, Flaw::kBefore;
    return Flaw::kNone;
  });
  ASSERT_TRUE(writer().rename("f", "h", RenameHow::kReplace, soon()).ok());
  drain();
  EXPECT_EQ(there("h"), "0123456789");
  EXPECT_EQ(origin_->journal().status().set_aside, 0U);
  EXPECT_EQ(origin_->journal().status().conflicts, 0U);
}

TEST_F(JournalConflict, ADirectoryStaysOneWhateverIsSetOfIt) {
  for (const bool renamed : {false, true}) {
    const std::string name = renamed ? "e" : "d";
    start(false);
    if (renamed) {
      ASSERT_TRUE(writer().rename("d", "e", RenameHow::kReplace, soon()).ok());
    }
    for (int begun = 0; begun < 2; ++begun) {
      ASSERT_TRUE(writer().set_attributes({.path = name}, {.permissions = 0700}, soon()).ok());
      const NodeInfo info = origin_->stat(name, soon()).value();
      EXPECT_EQ(info.attributes.type, FileType::kDirectory);
      EXPECT_EQ(info.attributes.permissions, 0700U);
      EXPECT_TRUE(origin_->stat(name + "/b", soon()).ok());
      start(false);
    }
    start();
    drain();
    EXPECT_EQ(there(name + "/b"), "in a directory");
    struct stat st {};
    ASSERT_EQ(::stat((tree_ + "/" + name).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0700U);
  }
}

// As rsync and tar do it: what is in it first, then its time.
TEST_F(JournalConflict, ADirectoryHasTheTimeThatWasSetLastUnlessNamesInItChangedBehindThat) {
  start(false);
  const Timestamp old{.seconds = 1'000'000'000};
  const auto time_of = [&](const std::string& path) {
    return origin_->stat(path, soon()).value().attributes.mtime.seconds;
  };
  for (const std::string directory : {"d", "new"}) {
    SCOPED_TRACE(directory);
    if (directory == "new") {
      ASSERT_TRUE(writer()
                      .make(directory, {.type = FileType::kDirectory, .permissions = 0755}, soon())
                      .ok());
    }
    ASSERT_TRUE(writer().make(directory + "/x", {.permissions = 0644}, soon()).ok());
    EXPECT_GT(time_of(directory), old.seconds);
    const AttributeChange back_then{.mtime = NewTime{.time = old}};
    ASSERT_TRUE(writer().set_attributes({.path = directory}, back_then, soon()).ok());
    EXPECT_EQ(time_of(directory), old.seconds);
    if (directory == "new") continue;
    ASSERT_TRUE(writer().make(directory + "/y", {.permissions = 0644}, soon()).ok());
    EXPECT_GT(time_of(directory), old.seconds);
  }
  start();
  drain();
  EXPECT_GT(time_of("d"), old.seconds);
  EXPECT_EQ(time_of("new"), old.seconds);
}

TEST_F(JournalConflict, WhatIsSaidToBeDoneTheOriginHasBeenAskedToKeep) {
  start();
  ASSERT_TRUE(writer().make("n", {.type = FileType::kDirectory, .permissions = 0755}, soon()).ok());
  write("f", 0, "ours");
  ASSERT_TRUE(writer().rename("g", "n/g", RenameHow::kReplace, soon()).ok());
  drain();
  const std::vector<std::string> calls = flaky_->calls();
  const auto kept = [&](const std::string& change, const std::string& sync) {
    const auto done = std::find(calls.begin(), calls.end(), change);
    return done != calls.end() && std::find(done, calls.end(), sync) != calls.end();
  };
  EXPECT_TRUE(kept("make n", "sync"));
  EXPECT_TRUE(kept("write", "sync f"));
  EXPECT_TRUE(kept("rename g", "sync n"));
  EXPECT_TRUE(kept("rename g", "sync"));
}

// Of a directory that is all one can have; bytes that the origin does not keep are not there yet.
TEST_F(JournalConflict, BytesAreDoneWhenTheOriginKeepsThemAndNotWhenItForbidsThat) {
  std::atomic<unsigned> forbidden = 0;
  flaky_->set_flaws([&](const std::string& call, const std::string& path) {
    if (call != "sync") return Flaw::kNone;
    return path == "d" || (path == "f" && forbidden++ < 2) ? Flaw::kForbidden : Flaw::kNone;
  });
  start();
  write("f", 0, "ours");
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  ASSERT_TRUE(writer().make("d/new", directory, soon()).ok());
  drain();
  const std::vector<std::string> calls = flaky_->calls();
  const auto times = [&](const char* call) { return std::count(calls.begin(), calls.end(), call); };
  EXPECT_EQ(times("sync f (failed)"), 2);
  EXPECT_EQ(times("sync f"), 1);
  EXPECT_EQ(times("sync d (failed)"), 1);
  EXPECT_EQ(origin_->journal().status().set_aside, 0U);
}

TEST_F(JournalConflict, WhatFailsWithoutAReasonIsSetAsideAfterAWhileAndTold) {
  start();
  flaky_->set_flaws([](const std::string& call, const std::string& path) {
    return call == "open_for_writing" && path == "f" ? Flaw::kRefused : Flaw::kNone;
  });
  const OpenedFile file = writer().open_for_writing("f", soon()).value();
  ASSERT_TRUE(WaitedWrite(*file.file, 0, "ours").run(writer()).transferred_bytes.ok());
  write("g", 0, "goes on");
  drain();
  EXPECT_EQ(there("f"), "0123456789");
  EXPECT_EQ(there("g"), "goes oner file");
  EXPECT_TRUE(has("j/set-aside"));
  EXPECT_EQ(origin_->journal().status().set_aside, 1U);
  EXPECT_TRUE(
      writer().sync({.path = "f", .open = file.file.get()}, SyncKind::kAll, soon()).is_error(EIO))
      << "whoever wrote it is told";
  EXPECT_TRUE(writer().sync({.path = "f", .open = file.file.get()}, SyncKind::kAll, soon()).ok());
  const std::vector<std::string> troubles = origin_->journal().take_troubles();
  ASSERT_EQ(troubles.size(), 1U);
  EXPECT_NE(troubles[0].find("'f'"), std::string::npos) << troubles[0];
  EXPECT_TRUE(origin_->journal().take_troubles().empty());
}

TEST_F(JournalConflict, AFullDiskDoesNotLoseWhatIsToBeSetAside) {
  start(false);
  write("f", 0, "ours");
  std::filesystem::remove_all(tree_ + "/f");
  std::filesystem::create_directory(tree_ + "/f");
  start(false);
  origin_.reset();
  flaky_->set_flaws([](const std::string& call, const std::string&) {
    return call == "create" ? Flaw::kRefused : Flaw::kNone;
  });
  disk_.set_fault([](SimDisk::Call call, const std::string& path) {
    return call == SimDisk::Call::kWrite && path == "j/set-aside" ? ENOSPC : 0;
  });
  start();
  EXPECT_FALSE(drains_within(std::chrono::milliseconds(200)));
  EXPECT_EQ(origin_->journal().status().set_aside, 0U);
  disk_.set_fault({});
  drain();
  EXPECT_EQ(origin_->journal().status().set_aside, 1U);
  EXPECT_TRUE(has("j/set-aside"));
}

TEST_F(JournalConflict, WhatCannotBeReadInTheJournalIsKeptAndTheRestGoesOn) {
  start();
  away();
  write("f", 0, "OURSOURS");
  ASSERT_TRUE(writer().sync_all(soon()).ok());
  write("g", 0, "goes on");
  std::string segment;
  for (const std::string& file : disk_.files()) {
    if (file.ends_with(".segment")) segment = file;
  }
  {
    auto file = disk_.open(segment, cachefiles::OpenMode::kReadWrite).value();
    std::string all(file->stat().value().size_bytes, '\0');
    (void)file->read(0, std::as_writable_bytes(std::span(all.data(), all.size())));
    disk_.flip(segment, all.find("OURSOURS") * 8);
  }
  back();
  drain();
  EXPECT_EQ(there("g"), "goes oner file");
  EXPECT_EQ(there("f"), "0123456789");
  EXPECT_EQ(origin_->journal().status().set_aside, 1U);
  origin_.reset();
  EXPECT_TRUE(has(segment + ".damaged"));
}

TEST_F(JournalConflict, ADamagedJournalIsNotCarriedOutOnceMoreAtEachStart) {
  start(false);
  write("f", 0, "AA");
  ASSERT_TRUE(writer().sync_all(soon()).ok());
  for (const char* bytes : {"GGGGGGGG", "HHHHHHHH"}) {
    write("g", 0, bytes);
    ASSERT_TRUE(writer().sync_all(soon()).ok());
  }
  origin_.reset();
  for (const std::string& name : disk_.files()) {
    if (!name.ends_with(".segment")) continue;
    auto file = disk_.open(name, cachefiles::OpenMode::kReadWrite).value();
    std::string all(file->stat().value().size_bytes, '\0');
    (void)file->read(0, std::as_writable_bytes(std::span(all.data(), all.size())));
    if (all.find("GGGGGGGG") != std::string::npos) disk_.flip(name, all.find("GGGGGGGG") * 8);
  }
  for (int i = 0; i < 3; ++i) {
    start();
    drain();
    EXPECT_EQ(origin_->journal().status().uploaded, i == 0 ? 1U : 0U);
    EXPECT_EQ(there("f").substr(0, 2), i == 0 ? "AA" : "BB");
    write("f", 0, "BB");
    drain();
  }
  EXPECT_EQ(there("g"), "the other file");
  EXPECT_TRUE(has("j/damaged-0000000000000001"));
}

TEST_F(JournalConflict, AJournalThatIsAsLongAsItMayBeMakesWritersWait) {
  away();
  origin_ = JournaledOrigin::open({.inner = *flaky_,
                                   .disk = disk_,
                                   .directory = "j",
                                   .timeout = std::chrono::milliseconds(50),
                                   .retry_first = std::chrono::milliseconds(1),
                                   .retry_max = std::chrono::milliseconds(2),
                                   .segment_bytes = 1 << 20,
                                   .size_max = 4 << 20})
                .value();
  const OpenedFile file = writer().open_for_writing("f", soon()).value();
  const std::string part(512 << 10, 'x');
  Result<uint64_t> written = uint64_t{0};
  uint64_t at = 0;
  for (; written.ok() && at < 32 * part.size(); at += part.size()) {
    written = WaitedWrite(*file.file, at, part).run(writer()).transferred_bytes;
  }
  EXPECT_TRUE(written.is_error(ENOSPC));
  EXPECT_LT(at, 16 * part.size());
  back();
  // A writer that waits goes on with the upload.
  EXPECT_TRUE(wait_until(
      [&] { return WaitedWrite(*file.file, 0, part).run(writer()).transferred_bytes.ok(); },
      std::chrono::seconds(20)));
  drain();
}

}  // namespace
}  // namespace netfs::test
