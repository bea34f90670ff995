// Goal: what is still open when its bytes went beside, or were set aside, does not write into
// theirs, and hears of it.

#include <atomic>

#include "tests/origin-conformance/journal_conflict.h"

namespace netfs::test {
namespace {

class JournalBeside : public JournalConflict {
 protected:
  std::unique_ptr<OriginFile> opened(const std::string& path) {
    Result<OpenedFile> file = writer().open_for_writing(path, soon());
    EXPECT_TRUE(file.ok()) << file.error().message();
    return file.ok() ? std::move(file.value().file) : nullptr;
  }
  int written(OriginFile& file, const std::string& bytes) {
    return WaitedWrite(file, 0, bytes).run(writer()).transferred_bytes.code();
  }
  int synced(OriginFile& file, const std::string& path) {
    return writer().sync({.path = path, .open = &file}, SyncKind::kAll, soon()).code();
  }
};

TEST_F(JournalBeside, AHandleOfWhatWentBesideWritesNoMoreUntilItIsClosed) {
  start();
  std::unique_ptr<OriginFile> file = opened("f");
  ASSERT_EQ(written(*file, "first"), 0);
  drain();
  EXPECT_EQ(synced(*file, "f"), 0);
  write_file(tree_ + "/t", "theirs----");
  std::filesystem::rename(tree_ + "/t", tree_ + "/f");
  ASSERT_EQ(written(*file, "OURS"), 0);
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  EXPECT_EQ(there("f.netfs-conflict-1").substr(0, 4), "OURS");
  EXPECT_EQ(written(*file, "more"), EIO) << "not ESTALE: by its name it would be theirs";
  EXPECT_EQ(synced(*file, "f"), EIO) << "which is told though a write came before";
  EXPECT_EQ(synced(*file, "f"), 0);
  EXPECT_EQ(written(*file, "more"), EIO) << "also when that was told";
  EXPECT_EQ(
      writer().set_attributes({.path = "f", .open = file.get()}, {.size_bytes = 1}, soon()).code(),
      EIO);
  EXPECT_EQ(writer().allocate(*file, 0, {0, 100}, soon()).code(), EIO);
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  // Whoever opens theirs writes to theirs.
  write("f", 0, "seen");
  drain();
  EXPECT_EQ(there("f"), "seenrs----");
  EXPECT_EQ(written(*file, "more"), EIO);
  file.reset();
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
}

TEST_F(JournalBeside, TwoWhoMakeTheSameNameDoNotWriteIntoEachOthers) {
  start();
  away();
  Result<OpenedFile> made = writer().create("new", {.permissions = 0644}, soon());
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(written(*made.value().file, "ours"), 0);
  write_file(tree_ + "/new", "theirs");
  back();
  drain();
  EXPECT_EQ(written(*made.value().file, "more"), EIO);
  drain();
  EXPECT_EQ(there("new"), "theirs");
  EXPECT_EQ(there("new.netfs-conflict-1"), "ours");
}

TEST_F(JournalBeside, AHandleBelowADirectoryThatWentBesideWritesNoMore) {
  start();
  away();
  const std::unique_ptr<OriginFile> file = opened("d/b");
  ASSERT_TRUE(writer().rename("d", "e", RenameHow::kReplace, soon()).ok());
  std::filesystem::create_directory(tree_ + "/e");
  write_file(tree_ + "/e/b", "theirs");
  back();
  drain();
  EXPECT_EQ(written(*file, "ours"), EIO);
  drain();
  EXPECT_EQ(there("e/b"), "theirs");
  EXPECT_EQ(there("e.netfs-conflict-1/b"), "in a directory");
}

// What was set aside is not there: what comes there by others meanwhile is theirs.
TEST_F(JournalBeside, AHandleOfWhatWasSetAsideWritesNoMoreUntilItIsClosed) {
  start();
  std::unique_ptr<OriginFile> file = opened("f");
  flaky_->set_flaws([](const std::string& call, const std::string&) {
    return call == "write" ? Flaw::kRefused : Flaw::kNone;
  });
  ASSERT_EQ(written(*file, "ours"), 0);
  drain();
  EXPECT_EQ(origin_->journal().status().set_aside, 1U);
  back();
  write_file(tree_ + "/f", "theirs----");
  EXPECT_EQ(written(*file, "more"), EIO);
  EXPECT_EQ(synced(*file, "f"), EIO);
  EXPECT_EQ(written(*file, "more"), EIO);
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  file.reset();
  file = opened("f");
  EXPECT_EQ(written(*file, "more"), 0);
  drain();
  EXPECT_EQ(there("f"), "morers----");
}

// Files that their owner may not write are for nobody to write, as for whoever is not root.
class JournalReadOnly : public JournalBeside {
 protected:
  // What fails besides.
  void forbid(FlakyOrigin::Asked besides = {}) {
    flaky_->set_flaws([this, besides](const std::string& call, const std::string& path) {
      struct stat seen {};
      const bool is_closed = call == "open_for_writing" &&
                             ::stat((tree_ + "/" + path).c_str(), &seen) == 0 &&
                             (seen.st_mode & 0200) == 0;
      if (is_closed) return Flaw::kForbidden;
      return besides ? besides(call, path) : Flaw::kNone;
    });
  }
  void put_theirs(const std::string& path, const std::string& bytes) {
    write_file(tree_ + "/t", bytes);
    ASSERT_EQ(::chmod((tree_ + "/t").c_str(), 0444), 0);
    std::filesystem::rename(tree_ + "/t", tree_ + "/" + path);
  }
  mode_t mode_of(const std::string& path) {
    struct stat seen {};
    EXPECT_EQ(::stat((tree_ + "/" + path).c_str(), &seen), 0);
    return seen.st_mode & 07777;
  }
};

TEST_F(JournalReadOnly, WhatIsWrittenToItByWhoHasItOpenIsNoConflict) {
  start();
  forbid();
  const Result<OpenedFile> made = writer().create("n", {.permissions = 0444}, soon());
  ASSERT_TRUE(made.ok());
  for (const char* bytes : {"first---", "secon", "thi"}) {
    ASSERT_EQ(written(*made.value().file, bytes), 0);
    drain();
  }
  EXPECT_EQ(there("n"), "thion---");
  EXPECT_EQ(mode_of("n"), 0444U);
  EXPECT_EQ(origin_->journal().status().conflicts, 0U);
  // Also where a batch was cut off.
  for (const char* call : {"set_attributes", "open_for_writing", "write", "sync"}) {
    for (const Flaw flaw : {Flaw::kBefore, Flaw::kAfter}) {
      SCOPED_TRACE(std::string(call) + (flaw == Flaw::kAfter ? " unheard" : " failed"));
      forbid([call, flaw, once = false](const std::string& now, const std::string&) mutable {
        return now == call && !std::exchange(once, true) ? flaw : Flaw::kNone;
      });
      ASSERT_EQ(written(*made.value().file, call), 0);
      drain();
      EXPECT_EQ(there("n").substr(0, std::string(call).size()), call);
      EXPECT_EQ(mode_of("n"), 0444U);
      EXPECT_EQ(origin_->journal().status().conflicts, 0U);
    }
  }
}

TEST_F(JournalReadOnly, TheirsIsAConflictAndStaysAsItIs) {
  start();
  for (const bool ours_too : {false, true}) {
    SCOPED_TRACE(ours_too ? "ours too" : "");
    const std::string name = ours_too ? "n" : "f";
    std::unique_ptr<OriginFile> file;
    if (ours_too) {
      file = std::move(writer().create(name, {.permissions = 0444}, soon()).value().file);
    } else {
      file = opened(name);
    }
    drain();
    put_theirs(name, "theirs");
    forbid();
    ASSERT_EQ(written(*file, "ours"), 0);
    drain();
    EXPECT_EQ(there(name), "theirs");
    EXPECT_EQ(mode_of(name), 0444U);
    EXPECT_EQ(there(name + ".netfs-conflict-1"), "oursrs");
    EXPECT_EQ(origin_->journal().status().set_aside, 0U);
    back();
  }
  EXPECT_EQ(origin_->journal().status().conflicts, 2U);
}

TEST_F(JournalReadOnly, TheirsThatMayNotBeReadIsAConflictTooAndOursIsBeside) {
  start();
  const std::unique_ptr<OriginFile> file = opened("f");
  put_theirs("f", "theirs, unreadable");
  flaky_->set_flaws([](const std::string& call, const std::string& path) {
    const bool opens = call == "open" || call == "open_for_writing";
    return opens && path == "f" ? Flaw::kForbidden : Flaw::kNone;
  });
  ASSERT_EQ(written(*file, "ours"), 0);
  drain();
  EXPECT_EQ(there("f"), "theirs, unreadable");
  EXPECT_EQ(there("f.netfs-conflict-1"), "ours");
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
  EXPECT_EQ(origin_->journal().status().set_aside, 0U);
  const std::vector<std::string> told = origin_->journal().take_troubles();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("theirs may not be read"), std::string::npos) << told[0];
}

TEST_F(JournalReadOnly, TheirsIsToldFromOursThatIsInDoubt) {
  for (const bool restarts : {false, true}) {
    SCOPED_TRACE(restarts ? "another process" : "");
    std::filesystem::remove(tree_ + "/n");
    std::filesystem::remove(tree_ + "/n.netfs-conflict-1");
    start();
    Result<OpenedFile> made = writer().create("n", {.permissions = 0444}, soon());
    ASSERT_TRUE(made.ok());
    ASSERT_EQ(written(*made.value().file, "the first"), 0);
    forbid();
    drain();
    forbid([n = 0](const std::string& call, const std::string&) mutable {
      n += call == "write" ? 1 : 0;
      return n == 0 ? Flaw::kNone : Flaw::kBefore;
    });
    ASSERT_EQ(written(*made.value().file, "ours"), 0);
    ASSERT_TRUE(wait_until([&] { return !origin_->journal().status().last_error.empty(); },
                           std::chrono::seconds(20)));
    put_theirs("n", "theirs, of the same name");
    made.value().file.reset();
    if (restarts) origin_.reset();
    forbid();
    if (restarts) start();
    drain();
    EXPECT_EQ(there("n"), "theirs, of the same name");
    EXPECT_EQ(mode_of("n"), 0444U);
    EXPECT_EQ(there("n.netfs-conflict-1").substr(0, 4), "ours");
    EXPECT_EQ(origin_->journal().status().conflicts, 1U);
    origin_.reset();
  }
}

// One power cut when it was made writable, and another in the midst of its bytes.
TEST_F(JournalReadOnly, WhatIsInterruptedTwiceIsNoConflict) {
  start();
  {
    const Result<OpenedFile> made = writer().create("n", {.permissions = 0444}, soon());
    ASSERT_TRUE(made.ok());
    ASSERT_EQ(written(*made.value().file, std::string(10'000, 'a')), 0);
    drain();
  }
  start(false);
  write("n", 0, std::string(9000, 'b'));
  for (const char* last : {"set_attributes", "write"}) {
    SCOPED_TRACE(last);
    origin_.reset();
    // What is last is done, of a write half of it.
    forbid([last = std::string(last), over = false](const std::string& call,
                                                    const std::string&) mutable {
      if (over) return Flaw::kBefore;
      over = call == last;
      return over ? Flaw::kAfter : Flaw::kNone;
    });
    start();
    ASSERT_TRUE(wait_until([&] { return !origin_->journal().status().last_error.empty(); },
                           std::chrono::seconds(20)));
  }
  origin_.reset();
  forbid();
  start();
  drain();
  EXPECT_TRUE(there("n") == std::string(9000, 'b') + std::string(1000, 'a'));
  EXPECT_EQ(mode_of("n"), 0444U);
  EXPECT_EQ(origin_->journal().status().conflicts, 0U);
}

// They write between the look at a part and the end of the looking.
TEST_F(JournalBeside, WhatComesWhileOursIsComparedIsTheirs) {
  std::string theirs(100'000, 'o');
  write_file(tree_ + "/f", theirs);
  theirs.replace(50'000, 4, "THEY");
  start(false);
  write("f", 50'000, "OURS");
  bool failed = false;
  flaky_->set_flaws([&](const std::string& call, const std::string&) {
    return call == "write" && !std::exchange(failed, true) ? Flaw::kAfter : Flaw::kNone;
  });
  flaky_->set_reads([&, n = 0]() mutable {
    if (failed && ++n == 2) write_file(tree_ + "/f", theirs);
    return Flaw::kNone;
  });
  start();
  drain();
  EXPECT_TRUE(there("f") == theirs);
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
  origin_.reset();
  EXPECT_NE(there("f.netfs-conflict-1").find("OURS"), std::string::npos);
}

TEST_F(JournalBeside, AComparisonGoesOnWhereTheLinkFailedInIt) {
  const std::string old(16 << 20, 'o');
  write_file(tree_ + "/f", old);
  start(false);
  write("f", 4096, "OURS");
  bool failed = false;
  flaky_->set_flaws([&](const std::string& call, const std::string&) {
    return call == "write" && !std::exchange(failed, true) ? Flaw::kAfter : Flaw::kNone;
  });
  // So many of its 65 reads at a time.
  flaky_->set_reads(
      [&, n = 0]() mutable { return failed && ++n % 20 == 0 ? Flaw::kBefore : Flaw::kNone; });
  start();
  EXPECT_TRUE(drains_within(std::chrono::seconds(20)));
  EXPECT_EQ(origin_->journal().status().conflicts, 0U);
  origin_.reset();
  EXPECT_TRUE(there("f").substr(4090, 12) == "ooooooOURSoo");
}

// Until somebody stops the upload.
bool is_stopped(journal::Journal& journal) {
  return wait_until([&] { return !journal.go_on().ok(); }, std::chrono::seconds(10));
}

TEST_F(JournalBeside, AnUploadIsStoppedInTheMidstOfABatchAndGoneOnWith) {
  constexpr int kWrites = 200;
  std::atomic<int> writes{0};
  std::atomic<journal::Journal*> now{nullptr};
  flaky_->set_flaws([&](const std::string& call, const std::string&) {
    if (call == "write" && ++writes == 2) (void)is_stopped(*now.load());
    return Flaw::kNone;
  });
  start(false);
  std::string want;
  for (int i = 0; i < kWrites; ++i) {
    write("f", want.size(), "line " + std::to_string(i));
    want += "line " + std::to_string(i);
  }
  flaky_->close_gate();
  start();
  now = &origin_->journal();
  flaky_->open_gate();
  ASSERT_TRUE(wait_until([&] { return writes > 1; }, std::chrono::seconds(20)));
  origin_.reset();
  EXPECT_LT(writes, 20) << "what was on its way";
  EXPECT_LT(there("f").size(), want.size());
  back();
  start();
  drain();
  EXPECT_TRUE(there("f") == want);
  EXPECT_EQ(origin_->journal().status().conflicts, 0U);
}

TEST_F(JournalBeside, AnUploadIsStoppedInTheMidstOfACopyAndOfAComparison) {
  const std::string old(8 << 20, 'o');
  for (const bool compares : {false, true}) {
    SCOPED_TRACE(compares ? "compares" : "copies");
    write_file(tree_ + "/f", old);
    start(false);
    write("f", 4096, "OURS");
    if (!compares) write_file(tree_ + "/f", std::string(64 << 20, 't'));
    std::atomic<bool> failed{!compares};
    std::atomic<int> reads{0};
    std::atomic<journal::Journal*> now{nullptr};
    flaky_->set_flaws([&](const std::string& call, const std::string&) {
      return call == "write" && !failed.exchange(true) ? Flaw::kAfter : Flaw::kNone;
    });
    flaky_->set_reads([&] {
      if (failed && ++reads == 2) (void)is_stopped(*now.load());
      return Flaw::kNone;
    });
    flaky_->close_gate();
    start();
    now = &origin_->journal();
    flaky_->open_gate();
    ASSERT_TRUE(wait_until([&] { return reads > 1; }, std::chrono::seconds(20)));
    origin_.reset();
    EXPECT_LT(reads, 20) << "what was on its way, of 32 parts or more";
    back();
    flaky_->set_reads({});
    start();
    drain();
    EXPECT_EQ(origin_->journal().status().conflicts, compares ? 0U : 1U);
    EXPECT_EQ(there(compares ? "f" : "f.netfs-conflict-1").substr(4096, 5),
              compares ? "OURSo" : "OURSt");
    origin_.reset();
  }
}

}  // namespace
}  // namespace netfs::test
