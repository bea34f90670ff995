// Goal: a rename over a file that lives on by another name is one change: after a power cut at any
// moment all of it was done or nothing, it comes to the origin whatever fails between and whoever
// goes on, and who has the file open writes to it.

#include <atomic>
#include <map>
#include <string>

#include "tests/origin-conformance/journal_conflict.h"

namespace netfs::test {
namespace {

class JournalReplace : public JournalConflict {
 protected:
  std::unique_ptr<OriginFile> opened(const std::string& path) {
    Result<OpenedFile> file = writer().open_for_writing(path, soon());
    EXPECT_TRUE(file.ok()) << file.error().message();
    return file.ok() ? std::move(file.value().file) : nullptr;
  }
  int written(OriginFile& file, uint64_t at, const std::string& bytes) {
    return WaitedWrite(file, at, bytes).run(writer()).transferred_bytes.code();
  }
  bool is_there(const std::string& path) { return std::filesystem::exists(tree_ + "/" + path); }
  // As at the start, and another journal.
  void begin_anew() {
    origin_.reset();
    disk_.restart(SimDisk::Lost::kNothing, 1);
    for (const auto& entry : std::filesystem::directory_iterator(tree_)) {
      if (!entry.is_directory()) std::filesystem::remove(entry.path());
    }
    write_file(tree_ + "/f", "0123456789");
    write_file(tree_ + "/g", "the other file");
  }
  void expect_no_trouble() {
    const journal::JournalStatus status = origin_->journal().status();
    EXPECT_EQ(status.conflicts, 0U);
    EXPECT_EQ(status.set_aside, 0U);
  }
};

TEST_F(JournalReplace, WhoHasItOpenWritesToItUnderItsOtherName) {
  start();
  const std::unique_ptr<OriginFile> file = opened("f");
  ASSERT_EQ(written(*file, 0, "first"), 0);
  ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
  EXPECT_EQ(origin_->stat("g", soon()).code(), ENOENT);
  EXPECT_EQ(origin_->stat("f", soon()).value().attributes.size_bytes, 14U);
  EXPECT_EQ(origin_->stat("kept", soon()).value().attributes.size_bytes, 10U);
  ASSERT_EQ(written(*file, 5, "then"), 0);
  drain();
  ASSERT_EQ(written(*file, 9, "last"), 0);
  drain();
  EXPECT_EQ(there("f"), "the other file");
  EXPECT_EQ(there("kept"), "firstthenlast");
  EXPECT_FALSE(is_there("g"));
  ASSERT_TRUE(writer().remove("kept", RemoveKind::kFile, soon()).ok());
  drain();
  EXPECT_FALSE(is_there("kept"));
  expect_no_trouble();
}

TEST_F(JournalReplace, AfterAPowerCutAtAnyMomentAllOfItWasDoneOrNothing) {
  unsigned done = 0;
  unsigned not_done = 0;
  for (uint64_t cut = 0; cut < 16; ++cut) {
    SCOPED_TRACE("cut " + std::to_string(cut));
    begin_anew();
    start(false);
    bool answered = false;
    {
      const std::unique_ptr<OriginFile> file = opened("f");
      ASSERT_EQ(written(*file, 0, "first"), 0);
      ASSERT_TRUE(writer().sync_all(soon()).ok());
      disk_.crash_at(cut);
      answered = writer().replace("g", "f", "kept", soon()).ok();
      (void)written(*file, 5, "again");
    }
    origin_.reset();
    disk_.restart(SimDisk::Lost::kPower, cut);
    start();
    drain();
    expect_no_trouble();
    const bool is_done = !is_there("g");
    ++(is_done ? done : not_done);
    EXPECT_TRUE(is_done || !answered) << "it is durable when it is answered";
    EXPECT_EQ(there("f"), is_done ? "the other file" : "first56789");
    EXPECT_EQ(is_there("kept"), is_done);
    if (is_done) {
      EXPECT_EQ(there("kept").substr(0, 5), "first");
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(done, 0U);
  EXPECT_GT(not_done, 0U);
}

// The matrix: which call fails on the way to the origin, and how, whether a process starts then,
// and whether there are hard links: with them others see the name at each call, with the old file
// or the new one.
TEST_F(JournalReplace, ItComesToTheOriginWhateverCallFailsAndWhoeverGoesOn) {
  const std::map<std::string, unsigned> calls = {{"stat", 3}, {"link", 1}, {"rename", 2}};
  for (const auto& one : calls) {
    const std::string& call = one.first;
    for (unsigned which = 0; which < one.second * 8; ++which) {
      const unsigned n = which / 8;
      const Flaw flaw = which % 2 == 0 ? Flaw::kBefore : Flaw::kAfter;
      const bool restarts = which / 2 % 2 == 1;
      const bool links = which / 4 % 2 == 1;
      // That there are no links is said in more than one way.
      const Flaw no_link = n % 2 == 0 ? Flaw::kForbidden : Flaw::kRefused;
      SCOPED_TRACE(call + " " + std::to_string(n) +
                   (flaw == Flaw::kAfter ? " unheard" : " failed") +
                   (restarts ? ", and another process" : "") + (links ? "" : ", without links"));
      begin_anew();
      start(false);
      {
        const std::unique_ptr<OriginFile> file = opened("f");
        ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
        ASSERT_EQ(written(*file, 0, "again"), 0);
      }
      origin_.reset();
      unsigned absent = 0;
      const auto look = [&] {
        const std::string seen = there("f");
        absent += seen == "0123456789" || seen == "the other file" ? 0 : 1;
      };
      flaky_->set_flaws(
          [&, left = n, failed = false](const std::string& now, const std::string&) mutable {
            look();
            if (failed && restarts) return Flaw::kBefore;  // it stops at that call
            if (now == "link" && !links) return no_link;
            if (failed || now != call || left-- > 0) return Flaw::kNone;
            failed = true;
            return flaw;
          });
      start();
      if (restarts) {
        (void)drains_within(std::chrono::milliseconds(20));
        origin_.reset();
        flaky_->set_flaws([&](const std::string& now, const std::string&) {
          look();
          return now == "link" && !links ? no_link : Flaw::kNone;
        });
        start();
      }
      drain();
      back();
      EXPECT_EQ(there("f"), "the other file");
      EXPECT_EQ(there("kept"), "again56789");
      EXPECT_FALSE(is_there("g"));
      if (links) {
        EXPECT_EQ(absent, 0U);
      }
      expect_no_trouble();
      if (HasFailure()) return;
    }
  }
}

// The second step is done, and nobody has heard of it: the name leads to the new file there.
TEST_F(JournalReplace, WhoReadsItBetweenTheTwoStepsReadsItsOwnBytes) {
  for (const bool restarts : {false, true}) {
    SCOPED_TRACE(restarts ? "another process" : "the same process");
    begin_anew();
    start(false);
    std::unique_ptr<OriginFile> held = opened("f");
    ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
    held.reset();  // it ends with its origin
    std::atomic<bool> over{false};
    flaky_->set_flaws([&](const std::string& now, const std::string&) {
      if (over) return Flaw::kBefore;
      over = now == "rename";
      return over ? Flaw::kAfter : Flaw::kNone;
    });
    start();
    ASSERT_TRUE(wait_until([&] { return over && !is_there("g"); }, std::chrono::seconds(20)));
    ASSERT_EQ(there("f"), "the other file");
    if (restarts) start();  // the link is still down for the upload
    if (restarts) {
      EXPECT_EQ(origin_->open("kept", in(std::chrono::milliseconds(200))).code(), ETIMEDOUT)
          << "where it is nobody knows";
    } else {
      EXPECT_EQ(read_file(*origin_, "kept").value(), "0123456789");
    }
    const Result<NodeInfo> seen = origin_->stat("kept", in(std::chrono::milliseconds(200)));
    EXPECT_TRUE(!seen.ok() || seen.value().attributes.size_bytes == 10);
    back();
    drain();
    EXPECT_EQ(read_file(*origin_, "kept").value(), "0123456789");
    EXPECT_EQ(read_file(*origin_, "f").value(), "the other file");
    expect_no_trouble();
  }
}

TEST_F(JournalReplace, WhatTheOriginForbidsLeavesTheOldFileItsName) {
  for (const bool links : {true, false}) {
    SCOPED_TRACE(links ? "with links" : "without links");
    begin_anew();
    start(false);
    {
      const std::unique_ptr<OriginFile> file = opened("f");
      ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
      ASSERT_EQ(written(*file, 0, "again"), 0);
    }
    origin_.reset();
    flaky_->set_flaws([&](const std::string& now, const std::string& path) {
      if (now == "link" && !links) return Flaw::kRefused;
      return now == "rename" && path == "g" ? Flaw::kForbidden : Flaw::kNone;
    });
    start();
    drain();
    back();
    EXPECT_EQ(origin_->journal().status().set_aside, 1U);
    // Where it was moved there and back it is another version: what was written is beside.
    const std::string old = links ? "again56789" : "0123456789";
    EXPECT_EQ(there("f"), old);
    EXPECT_EQ(there(links ? "kept" : "f.netfs-conflict-1"), "again56789");
    EXPECT_EQ(there("g"), "the other file");
    EXPECT_EQ(read_file(*origin_, "f").value(), old);
    EXPECT_EQ(read_file(*origin_, "g").value(), "the other file");
  }
}

// Nor may it have it back: it is told once, and the rest goes on.
TEST_F(JournalReplace, WhatIsForbiddenBothWaysIsSetAsideOnce) {
  start(false);
  {
    const std::unique_ptr<OriginFile> file = opened("f");
    ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
    ASSERT_EQ(written(*file, 0, "again"), 0);
    ASSERT_TRUE(writer().make("behind", {.permissions = 0644}, soon()).ok());
  }
  origin_.reset();
  flaky_->set_flaws([&](const std::string& now, const std::string& path) {
    if (now == "link") return Flaw::kRefused;
    return now == "rename" && path != "f" ? Flaw::kForbidden : Flaw::kNone;
  });
  start();
  drain();
  back();
  EXPECT_EQ(origin_->journal().status().set_aside, 1U);
  EXPECT_EQ(there("kept"), "again56789");
  EXPECT_EQ(there("g"), "the other file");
  EXPECT_TRUE(is_there("behind"));
}

TEST_F(JournalReplace, WhatSomebodyElseMadeOfItStays) {
  start();
  const std::unique_ptr<OriginFile> file = opened("f");
  ASSERT_EQ(written(*file, 0, "first"), 0);
  drain();
  away();
  ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
  write_file(tree_ + "/t", "theirs----");
  std::filesystem::rename(tree_ + "/t", tree_ + "/f");
  back();
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  EXPECT_EQ(there("f.netfs-conflict-1"), "the other file");
  EXPECT_FALSE(is_there("kept") || is_there("g"));
  EXPECT_EQ(written(*file, 0, "more"), EIO) << "theirs is not what was opened";
  EXPECT_EQ(origin_->stat("kept", soon()).code(), ENOENT);
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
}

// Between the two steps at the origin somebody takes the name.
TEST_F(JournalReplace, WhoTakesTheNameBetweenTheTwoStepsKeepsIt) {
  start();
  const std::unique_ptr<OriginFile> file = opened("f");
  ASSERT_EQ(written(*file, 0, "first"), 0);
  drain();
  std::atomic<bool> over{false};
  flaky_->set_flaws([&](const std::string& now, const std::string&) {
    over = over || now == "rename";
    return over ? Flaw::kBefore : Flaw::kNone;
  });
  ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
  ASSERT_TRUE(wait_until([&] { return over && is_there("kept"); }, std::chrono::seconds(20)));
  write_file(tree_ + "/t", "theirs----");
  std::filesystem::rename(tree_ + "/t", tree_ + "/f");
  back();
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  EXPECT_EQ(there("f.netfs-conflict-1"), "the other file");
  EXPECT_EQ(there("kept"), "first56789");
  EXPECT_EQ(written(*file, 5, "goes on"), 0);
  drain();
  EXPECT_EQ(there("kept"), "firstgoes on");
}

// It is the same file by both its names then.
TEST_F(JournalReplace, WhatSomebodyWritesToItBetweenTheTwoStepsStays) {
  start();
  std::atomic<bool> over{false};
  flaky_->set_flaws([&](const std::string& now, const std::string&) {
    over = over || now == "rename";
    return over ? Flaw::kBefore : Flaw::kNone;
  });
  ASSERT_TRUE(writer().replace("g", "f", "kept", soon()).ok());
  ASSERT_TRUE(wait_until([&] { return over && is_there("kept"); }, std::chrono::seconds(20)));
  write_file(tree_ + "/f", "theirs----");
  back();
  drain();
  EXPECT_EQ(there("f"), "theirs----");
  EXPECT_EQ(there("f.netfs-conflict-1"), "the other file");
  EXPECT_EQ(origin_->journal().status().conflicts, 1U);
}

TEST_F(JournalReplace, OfWhatIsNotThereItIsARename) {
  start();
  const Result<bool> replaced = writer().replace("g", "new", "kept", soon());
  EXPECT_FALSE(replaced.ok() && replaced.value());
  drain();
  EXPECT_EQ(there("new"), "the other file");
  EXPECT_FALSE(is_there("kept"));
  write_file(tree_ + "/h", "third");
  ASSERT_TRUE(writer().make("taken", {.permissions = 0644}, soon()).ok());
  EXPECT_EQ(writer().replace("h", "new", "taken", soon()).code(), EEXIST);
}

}  // namespace
}  // namespace netfs::test
