// What every origin must do with names, attributes, errors and its root.

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/origin-conformance/conformance.h"
#include "tests/support/needs.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Modules, OriginConformance, testing::ValuesIn(modules_under_test()),
                         [](const auto& each) { return each.param.name; });

TEST_P(OriginConformance, StatTellsWhatIsThere) {
  write_file(at("file"), "12345");
  ASSERT_EQ(::chmod(at("file").c_str(), GetParam().can.modes ? 0640 : 0644), 0);
  std::filesystem::create_directory(at("dir"));
  struct stat native {};
  ASSERT_EQ(::stat(at("file").c_str(), &native), 0);
  const Attributes file = stat("file").attributes;
  EXPECT_EQ(file.type, FileType::kRegular);
  EXPECT_EQ(file.size_bytes, 5U);
  EXPECT_EQ(file.mtime.seconds, native.st_mtime);
  EXPECT_EQ(stat("dir").attributes.type, FileType::kDirectory);
  EXPECT_EQ(stat("").attributes.type, FileType::kDirectory);
  if (!GetParam().can.modes) return;
  EXPECT_EQ(file.permissions, 0640U);
  EXPECT_EQ(file.uid, native.st_uid);
  EXPECT_EQ(file.gid, native.st_gid);
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  EXPECT_EQ(stat("fifo").attributes.type, FileType::kFifo);
}

TEST_P(OriginConformance, ListsTenThousandEntriesOnceEachWithTheirAttributes) {
  std::filesystem::create_directory(at("many"));
  for (int i = 0; i < 10'000; ++i) {
    // Old, so that no validator changes while we look: Apache's are weak in their first second.
    write_file(at("many/" + std::to_string(i)), std::string(static_cast<size_t>(i % 7), 'x'));
  }
  const Result<std::map<std::string, NodeInfo>> entries = list("many");
  ASSERT_TRUE(entries.ok()) << entries.error().message();
  ASSERT_EQ(entries.value().size(), 10'000U);
  for (int i = 0; i < 10'000; ++i) {
    const auto found = entries.value().find(std::to_string(i));
    ASSERT_NE(found, entries.value().end()) << i;
    // A listing that has no attributes, and no time to ask for all of them, leaves that to others;
    // some are asked for.
    const bool unknown = found->second.attributes.type == FileType::kUnknown;
    if (unknown && i % 50 != 0) continue;
    const NodeInfo info = unknown ? stat("many/" + std::to_string(i)) : found->second;
    EXPECT_EQ(info.attributes.size_bytes, static_cast<uint64_t>(i % 7));
    EXPECT_EQ(info.attributes.type, FileType::kRegular);
  }
  // What a listing says is what stat says.
  const auto first = std::find_if(
      entries.value().begin(), entries.value().end(),
      [](const auto& entry) { return entry.second.attributes.type != FileType::kUnknown; });
  ASSERT_NE(first, entries.value().end());
  const NodeInfo same = stat("many/" + first->first);
  EXPECT_EQ(first->second.validator, same.validator);
  EXPECT_EQ(first->second.identity, same.identity);
}

TEST_P(OriginConformance, AnEmptyDirectoryListsNothing) {
  std::filesystem::create_directory(at("empty"));
  const Result<std::map<std::string, NodeInfo>> entries = list("empty");
  ASSERT_TRUE(entries.ok());
  EXPECT_TRUE(entries.value().empty());
}

TEST_P(OriginConformance, AListingStopsWithTheErrorOfWhoTakesIt) {
  write_file(at("a"), "a");
  write_file(at("b"), "b");
  int calls = 0;
  const Result<void> listed = origin_->list("", soon(), [&](const OriginEntry&) -> Result<void> {
    ++calls;
    return Error(ENOBUFS, "test");
  });
  EXPECT_TRUE(listed.is_error(ENOBUFS));
  EXPECT_EQ(calls, 1);
}

TEST_P(OriginConformance, NamesAreBytes) {
  const std::string names[] = {"caf\xc3\xa9", "caf\xe9 latin1", "two\nlines",
                               "tab\t",       " blank ",        "-rf",
                               "back\\slash", "q\"uote'",       "*?[x]",
                               "%41%00",      "\x01\x7f\xff",   std::string(255, 'n')};
  std::set<std::string> expected;
  for (const std::string& name : names) {
    const bool utf8 = name.find_first_of("\xe9\xff") == std::string::npos;
    if (!GetParam().can.all_names && !utf8) continue;
    write_file(at(name), "content of " + name);
    expected.insert(name);
  }
  const Result<std::map<std::string, NodeInfo>> entries = list("");
  ASSERT_TRUE(entries.ok()) << entries.error().message();
  std::set<std::string> listed;
  for (const auto& [name, info] : entries.value()) listed.insert(name);
  EXPECT_EQ(listed, expected);
  for (const std::string& name : expected) {
    const Result<std::string> read = read_file(*origin_, name);
    ASSERT_TRUE(read.ok()) << name << ": " << read.error().message();
    EXPECT_EQ(read.value(), "content of " + name);
  }
}

TEST_P(OriginConformance, LinksAreShownAndNotFollowed) {
  if (!GetParam().can.links) return;
  write_file(at("target"), "secret");
  std::string link;
  for (const char* target : {"target", "/etc/passwd", "dangling/\xff\n"}) {
    link += "-link";
    ASSERT_EQ(::symlink(target, at(link).c_str()), 0);
    EXPECT_EQ(stat(link).attributes.type, FileType::kSymlink);
    const Result<std::string> read = origin_->read_link(link, soon());
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(read.value(), target);
    EXPECT_TRUE(origin_->open(link, soon()).is_error(ELOOP));
    const Result<std::map<std::string, NodeInfo>> entries = list("");
    ASSERT_TRUE(entries.ok());
    EXPECT_EQ(entries.value().at(link).attributes.type, FileType::kSymlink);
  }
}

TEST_P(OriginConformance, ErrorsAreThoseOfALocalFileSystem) {
  write_file(at("file"), "x");
  std::filesystem::create_directory(at("dir"));
  EXPECT_TRUE(origin_->stat("missing", soon()).is_error(ENOENT));
  EXPECT_TRUE(origin_->open("missing", soon()).is_error(ENOENT));
  EXPECT_TRUE(origin_->read_link("missing", soon()).is_error(ENOENT));
  EXPECT_TRUE(list("missing").is_error(ENOENT));
  EXPECT_TRUE(list("file").is_error(ENOTDIR));
  EXPECT_TRUE(origin_->open("dir", soon()).is_error(EISDIR));
  EXPECT_TRUE(origin_->read_link("file", soon()).is_error(EINVAL));
  EXPECT_TRUE(origin_->stat(std::string(256, 'n'), soon()).is_error(ENAMETOOLONG));
  // Version 3 of SFTP has one word for "no such file" and "not a directory".
  const Result<NodeInfo> below = origin_->stat("file/below", soon());
  EXPECT_TRUE(below.is_error(ENOTDIR) || below.is_error(ENOENT));
}

// Root may read everything, so for a while this process, which is what file: reads as, is nobody.
class AsOrdinaryUser {
 public:
  AsOrdinaryUser() {
    EXPECT_TRUE(!was_root_ || (::setegid(kNobody) == 0 && ::seteuid(kNobody) == 0));
  }
  ~AsOrdinaryUser() { EXPECT_TRUE(!was_root_ || (::seteuid(0) == 0 && ::setegid(0) == 0)); }
  AsOrdinaryUser(const AsOrdinaryUser&) = delete;
  AsOrdinaryUser& operator=(const AsOrdinaryUser&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  const bool was_root_ = ::geteuid() == 0;
};

TEST_P(OriginConformance, WhatMayNotBeReadIsRefused) {
  write_file(at("file"), "x");
  write_file(at("free"), "y");
  std::filesystem::create_directory(at("dir"));
  ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(tree_.c_str(), 0755), 0);
  ASSERT_EQ(::chmod(at("file").c_str(), 0), 0);
  ASSERT_EQ(::chmod(at("dir").c_str(), 0), 0);
  ASSERT_EQ(::chmod(at("free").c_str(), 0644), 0);
  ASSERT_NO_FATAL_FAILURE(open_tree(tree_, GetParam().ordinary_request(tree_)));
  {
    const AsOrdinaryUser user;
    EXPECT_TRUE(origin_->open("file", soon()).is_error(EACCES));
    EXPECT_TRUE(list("dir").is_error(EACCES));
    EXPECT_TRUE(origin_->open("free", soon()).ok());
  }
  ASSERT_EQ(::chmod(at("dir").c_str(), 0700), 0);
}

TEST_P(OriginConformance, IdentitySurvivesRenameWhereThereIsOne) {
  write_file(at("a"), "x");
  const std::string identity = stat("a").identity;
  EXPECT_EQ(identity.empty(), !origin_->capabilities().identity);
  std::filesystem::rename(at("a"), at("b"));
  EXPECT_EQ(stat("b").identity, identity);
}

TEST_P(OriginConformance, TellsHowFullTheFileSystemIs) {
  const Result<FileSystemStats> stats = origin_->stat_file_system(soon());
  if (!GetParam().can.space) {
    EXPECT_TRUE(stats.is_error(EOPNOTSUPP));
    return;
  }
  ASSERT_TRUE(stats.ok()) << stats.error().message();
  EXPECT_GT(stats.value().block_bytes, 0U);
  EXPECT_GT(stats.value().blocks, stats.value().blocks_free);
  EXPECT_GE(stats.value().name_length_max, 255U);
}

TEST_P(OriginConformance, AnotherTreeHasAnotherVolumeKey) {
  const std::string key = origin_->volume_key();
  const std::string tree = tree_;
  std::filesystem::create_directory(at("sub"));
  open_tree(at("sub"));
  EXPECT_NE(origin_->volume_key(), key);
  open_tree(tree);
  EXPECT_EQ(origin_->volume_key(), key);
}

TEST_P(OriginConformance, ARootThatIsNoDirectoryIsRefusedInASentence) {
  write_file(at("file"), "x");
  const struct {
    std::string path;
    int code;
    const char* words;
  } cases[] = {{at("missing"), ENOENT, "No such file"}, {at("file"), ENOTDIR, "Not a directory"}};
  for (const auto& c : cases) {
    const Result<origins::OriginRequest> request = GetParam().request(c.path);
    ASSERT_TRUE(request.ok());
    const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request.value());
    ASSERT_TRUE(origin.is_error(c.code)) << c.path << " " << origin.code();
    EXPECT_NE(origin.error().message().find(c.words), std::string::npos)
        << origin.error().message();
    EXPECT_NE(origin.error().message().find(c.path), std::string::npos);
  }
}

TEST_P(OriginConformance, TheRootMayBeALink) {
  write_file(at("file"), "behind");
  ASSERT_EQ(::symlink(tree_.c_str(), (temp_ / "link").c_str()), 0);
  open_tree(temp_ / "link");
  const Result<std::string> read = read_file(*origin_, "file");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read.value(), "behind");
}

}  // namespace
}  // namespace netfs::test
