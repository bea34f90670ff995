// Goal: what every origin that can be changed must do, beside its tree as it really is.

#include <cerrno>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "netfs/origin_writer.h"
#include "tests/origin-conformance/conformance.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

class OriginWrites : public OriginConformance {
 protected:
  OriginWriter& writer() { return *origin_->writer(); }
  WriteOutcome write(OriginFile& file, uint64_t offset, const std::string& bytes) {
    return WaitedWrite(file, offset, bytes).run(writer());
  }
};

INSTANTIATE_TEST_SUITE_P(Modules, OriginWrites, testing::ValuesIn(writable_modules_under_test()),
                         [](const auto& instance) { return instance.param.name; });

TEST_P(OriginWrites, ANewFileIsAsItWasAskedForAndItsBytesArrive) {
  OpenedFile opened = MUST(writer().create("new", {.permissions = 0640}, soon()));
  EXPECT_EQ(opened.info.attributes.permissions, 0640U);
  EXPECT_EQ(opened.info.attributes.size_bytes, 0U);
  const std::string bytes = pattern(1, 0, 300'000);
  const WriteOutcome first = write(*opened.file, 0, bytes);
  ASSERT_TRUE(first.transferred_bytes.ok()) << first.transferred_bytes.error().message();
  EXPECT_EQ(first.transferred_bytes.value(), bytes.size());
  ASSERT_TRUE(first.seen.before && first.seen.after);
  EXPECT_EQ(*first.seen.before, opened.info.validator);
  EXPECT_EQ(first.seen.after->attributes.size_bytes, bytes.size());
  const WriteOutcome second = write(*opened.file, 100, "hole");
  ASSERT_TRUE(second.seen.before);
  EXPECT_EQ(*second.seen.before, first.seen.after->validator) << "nobody else changed it";
  EXPECT_TRUE(writer().sync({"new", opened.file.get()}, SyncKind::kData, soon()).ok());
  std::string want = bytes;
  want.replace(100, 4, "hole");
  arrive();
  EXPECT_TRUE(read_whole(at("new")).value() == want);
  EXPECT_TRUE(writer().create("new", {.permissions = 0640}, soon()).is_error(EEXIST));
  EXPECT_TRUE(writer().create("no/new", {}, soon()).is_error(ENOENT));
}

TEST_P(OriginWrites, AFileIsOpenedForWritingAsItIs) {
  write_file(at("f"), "0123456789");
  const OpenedFile opened = MUST(writer().open_for_writing("f", soon()));
  EXPECT_EQ(opened.info.validator, stat("f").validator);
  EXPECT_TRUE(write(*opened.file, 8, "abc").transferred_bytes.ok());
  arrive();
  EXPECT_EQ(read_whole(at("f")).value(), "01234567abc");
  ASSERT_EQ(::mkdir(at("d").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("f", at("l").c_str()), 0);
  EXPECT_TRUE(writer().open_for_writing("d", soon()).is_error(EISDIR));
  EXPECT_TRUE(writer().open_for_writing("l", soon()).is_error(ELOOP));
  EXPECT_TRUE(writer().open_for_writing("no", soon()).is_error(ENOENT));
}

TEST_P(OriginWrites, NamesComeAndGoWithTheErrnosOfALocalFileSystem) {
  const NodeInfo directory =
      MUST(writer().make("d", {.type = FileType::kDirectory, .permissions = 0750}, soon()));
  EXPECT_EQ(directory.attributes.type, FileType::kDirectory);
  EXPECT_EQ(directory.attributes.permissions, 0750U);
  EXPECT_TRUE(writer().make("d", {.type = FileType::kDirectory}, soon()).is_error(EEXIST));
  const NodeInfo link =
      MUST(writer().make("d/l", {.type = FileType::kSymlink, .target = "../some/where"}, soon()));
  EXPECT_EQ(link.attributes.type, FileType::kSymlink);
  EXPECT_EQ(MUST(origin_->read_link("d/l", soon())), "../some/where");
  EXPECT_TRUE(writer().remove("d", RemoveKind::kDirectory, soon()).is_error(ENOTEMPTY));
  EXPECT_TRUE(writer().remove("d", RemoveKind::kFile, soon()).is_error(EISDIR));
  EXPECT_TRUE(writer().remove("d/l", RemoveKind::kDirectory, soon()).is_error(ENOTDIR));
  EXPECT_TRUE(writer().remove("d/l", RemoveKind::kFile, soon()).ok());
  EXPECT_TRUE(writer().remove("d/l", RemoveKind::kFile, soon()).is_error(ENOENT));
  EXPECT_TRUE(writer().remove("d", RemoveKind::kDirectory, soon()).ok());
  EXPECT_TRUE(writer()
                  .make(std::string(256, 'n'), {.type = FileType::kDirectory}, soon())
                  .is_error(ENAMETOOLONG));
}

TEST_P(OriginWrites, RenamesReplaceUnlessTheyMustNot) {
  write_file(at("a"), "a");
  write_file(at("b"), "b");
  EXPECT_TRUE(writer().rename("a", "b", RenameHow::kNoReplace, soon()).is_error(EEXIST));
  EXPECT_TRUE(writer().rename("a", "b", RenameHow::kReplace, soon()).ok());
  arrive();
  EXPECT_EQ(read_whole(at("b")).value(), "a");
  EXPECT_TRUE(writer().rename("a", "c", RenameHow::kReplace, soon()).is_error(ENOENT));
  EXPECT_TRUE(writer().rename("b", "c", RenameHow::kNoReplace, soon()).ok());
  if (inner_ != nullptr && inner_->capabilities().identity) {
    EXPECT_TRUE(writer().link({.path = "c"}, "e", soon()).is_error(EPERM));
    return;
  }
  const NodeInfo linked = MUST(writer().link({.path = "c"}, "e", soon()));
  EXPECT_EQ(linked.attributes.size_bytes, 1U);
  EXPECT_TRUE(writer().link({.path = "c"}, "e", soon()).is_error(EEXIST));
  struct stat c {};
  struct stat e {};
  ASSERT_EQ(::stat(at("c").c_str(), &c), 0);
  ASSERT_EQ(::stat(at("e").c_str(), &e), 0);
  EXPECT_EQ(c.st_ino, e.st_ino);
}

TEST_P(OriginWrites, AttributesAreSetAndSeen) {
  write_file(at("f"), "0123456789");
  const NodeInfo before = stat("f");
  AttributeChange change;
  change.permissions = 0604;
  change.size_bytes = 4;
  change.mtime = NewTime{.time = {1'400'000'000, 0}};
  const Seen seen = MUST(writer().set_attributes({.path = "f"}, change, soon()));
  ASSERT_TRUE(seen.before && seen.after);
  EXPECT_EQ(*seen.before, before.validator);
  EXPECT_EQ(seen.after->attributes.permissions, 0604U);
  EXPECT_EQ(seen.after->attributes.size_bytes, 4U);
  EXPECT_EQ(seen.after->attributes.mtime.seconds, 1'400'000'000);
  EXPECT_EQ(seen.after->validator, stat("f").validator);
  EXPECT_TRUE(writer().set_attributes({.path = "no"}, change, soon()).is_error(ENOENT));
}

TEST_P(OriginWrites, WhatIsForbiddenIsEaccesAndChangesNothing) {
  write_file(at("f"), "old");
  ASSERT_EQ(::chmod(tree_.c_str(), 0755), 0);
  ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
  if (GetParam().journaled)
    GTEST_SKIP() << "SKIPPED: what is forbidden is found when it is uploaded";
  if (GetParam().name == "file" && ::geteuid() == 0) {
    GTEST_SKIP() << "SKIPPED: root may everything in a folder of this machine";
  }
  open_tree(tree_, GetParam().ordinary_request(tree_));
  ASSERT_NE(origin_, nullptr);
  EXPECT_TRUE(writer().open_for_writing("f", soon()).is_error(EACCES));
  EXPECT_TRUE(writer().create("new", {}, soon()).is_error(EACCES));
  EXPECT_TRUE(writer().remove("f", RemoveKind::kFile, soon()).is_error(EACCES));
  EXPECT_EQ(read_whole(at("f")).value(), "old");
}

}  // namespace
}  // namespace netfs::test
