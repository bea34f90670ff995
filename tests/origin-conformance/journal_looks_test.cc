// Goal: who makes a name that he has just looked for in vain does not ask the origin again; and
// what somebody else, or we ourselves, have done meanwhile is seen all the same.

#include <set>

#include "tests/origin-conformance/journal_conflict.h"

namespace netfs::test {
namespace {

class JournalLooks : public JournalConflict {
 protected:
  bool is_there(const std::string& path) {
    const Result<NodeInfo> info = origin_->stat(path, soon());
    EXPECT_TRUE(info.ok() || info.is_error(ENOENT)) << info.error().message();
    return info.ok();
  }
  int make(const std::string& path, FileType type = FileType::kRegular) {
    return writer().make(path, {.type = type, .permissions = 0755, .target = "f"}, soon()).code();
  }
  // Of the origin, by what is done.
  template <class Done>
  uint64_t looks_of(Done done) {
    const uint64_t before = flaky_->looks();
    done();
    return flaky_->looks() - before;
  }
};

TEST_F(JournalLooks, ANameIsMadeByTheLookBeforeIt) {
  start(false);
  EXPECT_EQ(looks_of([&] { EXPECT_EQ(make("asked-by-nobody"), 0); }), 1U);
  for (const std::string name : {"n", "d/n"}) {
    EXPECT_TRUE(name == "n" || is_there("d"));
    EXPECT_EQ(looks_of([&] { EXPECT_FALSE(is_there(name)); }), 1U);
    EXPECT_EQ(looks_of([&] { EXPECT_EQ(make(name), 0); }), 0U) << name;
    EXPECT_EQ(make(name), EEXIST);
  }
  EXPECT_FALSE(is_there("d/m"));
  EXPECT_EQ(looks_of([&] { EXPECT_EQ(make("d/m", FileType::kDirectory), 0); }), 0U);
  EXPECT_EQ(looks_of([&] { EXPECT_EQ(make("d/m/new"), 0); }), 0U);
}

// As what the file system above it believes for its time.
TEST_F(JournalLooks, ANameThatIsBelievedToBeAbsentIsNotLookedForUnlessItIsKnown) {
  start(false);
  const NewNode what{.permissions = 0644, .believed_absent = true};
  EXPECT_EQ(looks_of([&] { EXPECT_TRUE(writer().make("d/n", what, soon()).ok()); }), 0U);
  EXPECT_EQ(writer().make("d/n", what, soon()).code(), EEXIST);
  // It was open here, and is there: what is known of it is looked at.
  EXPECT_TRUE(writer().open_for_writing("f", soon()).ok());
  write("g", 0, "ours");
  EXPECT_EQ(writer().make("g", what, soon()).code(), EEXIST);
}

TEST_F(JournalLooks, ALookThatIsOldDoesNotCount) {
  start(false);
  EXPECT_FALSE(is_there("n"));
  const MonoTime until = Clock::system().now() + journal::kLookCounts;
  ASSERT_TRUE(wait_until([&] { return Clock::system().now() > until; }, std::chrono::seconds(60)));
  write_file(tree_ + "/n", "theirs");
  EXPECT_EQ(make("n"), EEXIST);
}

// As what somebody makes between a change of ours and its upload.
TEST_F(JournalLooks, WhatSomebodyElseMakesBehindTheLookStaysAndOursGoesBeside) {
  start(false);
  EXPECT_FALSE(is_there("n"));
  write_file(tree_ + "/n", "theirs");
  ASSERT_EQ(make("n"), 0);
  write("n", 0, "ours");
  start();
  drain();
  EXPECT_EQ(there("n"), "theirs");
  EXPECT_EQ(there("n.netfs-conflict-1"), "ours");
}

TEST_F(JournalLooks, WhatWeHaveDoneSinceTheLookCounts) {
  start();
  EXPECT_FALSE(is_there("l"));
  ASSERT_EQ(make("l"), 0);
  drain();
  EXPECT_EQ(make("l"), EEXIST);
  // Not by the journal, but past it.
  EXPECT_FALSE(is_there("fifo"));
  ASSERT_EQ(make("fifo", FileType::kFifo), 0);
  EXPECT_EQ(make("fifo"), EEXIST);
  // The directory of a name goes, and another thing comes in its place.
  ASSERT_EQ(make("e", FileType::kDirectory), 0);
  drain();
  EXPECT_TRUE(is_there("e"));
  EXPECT_FALSE(is_there("e/n"));
  ASSERT_TRUE(writer().remove("e", RemoveKind::kDirectory, soon()).ok());
  EXPECT_EQ(make("e/n"), ENOENT);
  ASSERT_EQ(make("e"), 0);
  EXPECT_EQ(make("e/n"), ENOTDIR);
  drain();
  EXPECT_EQ(make("e/n"), ENOTDIR);
  // What was looked for there is here now.
  EXPECT_FALSE(is_there("h/b"));
  ASSERT_TRUE(writer().rename("d", "h", RenameHow::kReplace, soon()).ok());
  EXPECT_EQ(make("h/b"), EEXIST);
  drain();
  EXPECT_EQ(make("h/b"), EEXIST);
}

// Who makes names without a pause does not keep others from listing; who removes one does for once.
TEST_F(JournalLooks, ADirectoryIsListedWhileNamesAreMadeInIt) {
  start(false);
  using Names = std::set<std::string>;
  const auto names = [&] {
    Names all;
    const Result<void> listed = origin_->list("d", soon(), [&](OriginEntry entry) {
      EXPECT_TRUE(all.insert(entry.name).second) << entry.name;
      return Result<void>();
    });
    EXPECT_TRUE(listed.ok());
    return all;
  };
  int lists = 0;
  flaky_->set_before_list([&] {
    ++lists;
    EXPECT_EQ(make("d/made-" + std::to_string(lists)), 0);
  });
  EXPECT_EQ(names(), (Names{"b", "made-1"}));
  EXPECT_EQ(names(), (Names{"b", "made-1", "made-2"}));
  EXPECT_EQ(lists, 2);
  flaky_->set_before_list([&] {
    if (++lists > 3) return;
    EXPECT_TRUE(writer().remove("d/b", RemoveKind::kFile, soon()).ok());
  });
  EXPECT_EQ(names(), (Names{"made-1", "made-2"}));
  EXPECT_EQ(lists, 4);
}

// The listing is of before its upload, what is known here of behind it.
TEST_F(JournalLooks, AFileThatIsUploadedWhileItsDirectoryIsListedIsShownAsItWasWritten) {
  start(false);
  write("d/b", 0, std::string(5000, 'x'));
  start();
  flaky_->set_before_list({});
  uint64_t size = 0;
  uint64_t made_size = 0;
  flaky_->set_behind_list([&] {
    drain();
    EXPECT_EQ(make("d/made"), 0);
    write("d/made", 0, "bytes");
    drain();
  });
  ASSERT_TRUE(origin_
                  ->list("d", soon(),
                         [&](OriginEntry entry) {
                           if (entry.name == "b") size = entry.info.attributes.size_bytes;
                           if (entry.name == "made") made_size = entry.info.attributes.size_bytes;
                           return Result<void>();
                         })
                  .ok());
  EXPECT_EQ(size, 5000U);
  EXPECT_EQ(made_size, 5U);
}

}  // namespace
}  // namespace netfs::test
