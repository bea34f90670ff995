// What every origin must do, asked of each module in turn: a new module is one line in kModules.

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "origins/module_loader.h"
#include "sync/thread.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/needs.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

using origins::OriginRequest;
using origins::Url;

// Servers that live as long as the program.
class Servers {
 public:
  static Servers& get() {
    static Servers servers;
    return servers;
  }
  TestSshd& sshd() {
    if (!sshd_) sshd_ = std::make_unique<TestSshd>(temp_);
    return *sshd_;
  }
  void stop() { sshd_.reset(); }

 private:
  TempDir temp_;
  std::unique_ptr<TestSshd> sshd_;
};

class StopServers final : public testing::Environment {
 public:
  void TearDown() override { Servers::get().stop(); }
};
const testing::Environment* const kStop = testing::AddGlobalTestEnvironment(new StopServers);

Result<OriginRequest> file_request(const std::string& tree) {
  return OriginRequest{.url = TRY(Url::parse("file://" + tree))};
}

Result<OriginRequest> sftp_request(const std::string& tree) {
  TestSshd& sshd = Servers::get().sshd();
  if (!sshd.ready()) return Error(ENOTCONN, "test.sshd", sshd.log());
  OriginRequest request{.url = TRY(Url::parse(sshd.url(tree)))};
  request.options["identity"] = sshd.key_file();
  request.options["known_hosts"] = sshd.known_hosts_file();
  return request;
}

struct Module {
  std::string name;
  std::function<Result<OriginRequest>(const std::string& tree)> request;
};

const Module kModules[] = {
    {"file", file_request},
    {"sftp", sftp_request},
};

class OriginConformance : public testing::TestWithParam<Module> {
 protected:
  void SetUp() override { open_tree(temp_.make_dir("tree")); }

  void open_tree(const std::string& tree) {
    tree_ = tree;
    Result<OriginRequest> request = GetParam().request(tree);
    ASSERT_TRUE(request.ok()) << request.error().message();
    Result<std::unique_ptr<Origin>> origin = origins::open_origin(request.value());
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    origin_ = std::move(origin).value();
  }

  [[nodiscard]] static Deadline soon() {
    return Deadline::after(Clock::system(), std::chrono::seconds(30));
  }
  [[nodiscard]] std::string at(const std::string& name) const { return tree_ + "/" + name; }
  NodeInfo stat(const std::string& path) {
    Result<NodeInfo> info = origin_->stat(path, soon());
    EXPECT_TRUE(info.ok()) << path << ": " << info.error().message();
    return info.ok() ? std::move(info).value() : NodeInfo{};
  }
  std::unique_ptr<OriginFile> open(const std::string& path) {
    Result<std::unique_ptr<OriginFile>> file = origin_->open(path, soon());
    EXPECT_TRUE(file.ok()) << path << ": " << file.error().message();
    return file.ok() ? std::move(file).value() : nullptr;
  }
  Result<std::map<std::string, NodeInfo>> list(const std::string& path) {
    std::map<std::string, NodeInfo> entries;
    TRY(origin_->list(path, soon(), [&](OriginEntry entry) -> Result<void> {
      EXPECT_FALSE(entries.contains(entry.name)) << "twice: " << entry.name;
      entries.emplace(std::move(entry.name), std::move(entry.info));
      return {};
    }));
    return entries;
  }

  TempDir temp_;
  std::string tree_;
  std::unique_ptr<Origin> origin_;
};

INSTANTIATE_TEST_SUITE_P(Modules, OriginConformance, testing::ValuesIn(kModules),
                         [](const auto& each) { return each.param.name; });

TEST_P(OriginConformance, ReadsWholeFilesOfEverySize) {
  for (const uint64_t size : {0UL, 1UL, 4095UL, 4096UL, 4097UL, 131072UL, 131073UL, 3000000UL}) {
    const std::string bytes = pattern(size, 0, size);
    write_file(at("file"), bytes);
    const Result<std::string> read = read_file(*origin_, "file");
    ASSERT_TRUE(read.ok()) << size << ": " << read.error().message();
    EXPECT_TRUE(read.value() == bytes) << size << " bytes";
  }
}

TEST_P(OriginConformance, ReadsAnyRange) {
  const uint64_t size = 2'000'003;
  write_file(at("file"), pattern(1, 0, size));
  const std::unique_ptr<OriginFile> file = open("file");
  ASSERT_NE(file, nullptr);
  for (const ByteRange range : {ByteRange{0, 1}, ByteRange{1, 4096}, ByteRange{65535, 131074},
                                ByteRange{1'000'000, 1'000'003}, ByteRange{size - 1, 1}}) {
    const Result<ReadBytes> read = read_range(*origin_, *file, range);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_TRUE(read.value().bytes == pattern(1, range.offset_bytes, range.length_bytes))
        << range.offset_bytes;
  }
}

TEST_P(OriginConformance, AcrossTheEndComesWhatIsThereAndTheEnd) {
  write_file(at("file"), pattern(2, 0, 10'000));
  const std::unique_ptr<OriginFile> file = open("file");
  ASSERT_NE(file, nullptr);
  const Result<ReadBytes> across = read_range(*origin_, *file, {9'000, 500'000});
  ASSERT_TRUE(across.ok());
  EXPECT_TRUE(across.value().bytes == pattern(2, 9'000, 1'000));
  EXPECT_TRUE(across.value().hit_end_of_file);
  const Result<ReadBytes> past = read_range(*origin_, *file, {20'000, 4'096});
  ASSERT_TRUE(past.ok());
  EXPECT_EQ(past.value().bytes, "");
  EXPECT_TRUE(past.value().hit_end_of_file);
}

TEST_P(OriginConformance, ReadsFarIntoAHugeFile) {
  const uint64_t far = 5'000'000'000'007;
  {
    const UniqueFd fd(::open(at("huge").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_EQ(::pwrite(fd.get(), "here", 4, static_cast<off_t>(far)), 4);
  }
  EXPECT_EQ(stat("huge").attributes.size_bytes, far + 4);
  const std::unique_ptr<OriginFile> file = open("huge");
  ASSERT_NE(file, nullptr);
  const Result<ReadBytes> read = read_range(*origin_, *file, {far - 4, 8});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().bytes, std::string(4, '\0') + "here");
}

TEST_P(OriginConformance, ManyReadsOfOneFileAtOnceEachGetTheirOwnBytes) {
  const uint64_t piece = 100'003;
  write_file(at("file"), pattern(3, 0, 64 * piece));
  const std::unique_ptr<OriginFile> file = open("file");
  ASSERT_NE(file, nullptr);
  std::vector<std::unique_ptr<TestRead>> reads;
  for (uint64_t i = 0; i < 64; ++i) {
    reads.push_back(std::make_unique<TestRead>(*file, ByteRange{i * piece, piece}, soon()));
    origin_->issue_read(*reads.back());
  }
  for (uint64_t i = 0; i < 64; ++i) {
    const std::optional<ReadOutcome> outcome = reads[i]->wait(std::chrono::seconds(30));
    ASSERT_TRUE(outcome.has_value()) << i;
    ASSERT_TRUE(outcome->transferred_bytes.ok()) << outcome->transferred_bytes.error().message();
    EXPECT_EQ(outcome->transferred_bytes.value(), piece);
    EXPECT_TRUE(reads[i]->bytes() == pattern(3, i * piece, piece)) << i;
    EXPECT_TRUE(reads[i]->guards_intact());
  }
}

TEST_P(OriginConformance, StatTellsWhatIsThere) {
  write_file(at("file"), "12345");
  ASSERT_EQ(::chmod(at("file").c_str(), 0640), 0);
  std::filesystem::create_directory(at("dir"));
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  struct stat native {};
  ASSERT_EQ(::stat(at("file").c_str(), &native), 0);
  const Attributes file = stat("file").attributes;
  EXPECT_EQ(file.type, FileType::kRegular);
  EXPECT_EQ(file.size_bytes, 5U);
  EXPECT_EQ(file.permissions, 0640U);
  EXPECT_EQ(file.uid, native.st_uid);
  EXPECT_EQ(file.gid, native.st_gid);
  EXPECT_EQ(file.mtime.seconds, native.st_mtime);
  EXPECT_EQ(stat("dir").attributes.type, FileType::kDirectory);
  EXPECT_EQ(stat("fifo").attributes.type, FileType::kFifo);
  EXPECT_EQ(stat("").attributes.type, FileType::kDirectory);
}

TEST_P(OriginConformance, ListsTenThousandEntriesOnceEachWithTheirAttributes) {
  std::filesystem::create_directory(at("many"));
  for (int i = 0; i < 10'000; ++i) {
    std::ofstream(at("many/" + std::to_string(i))) << std::string(static_cast<size_t>(i % 7), 'x');
  }
  const Result<std::map<std::string, NodeInfo>> entries = list("many");
  ASSERT_TRUE(entries.ok()) << entries.error().message();
  ASSERT_EQ(entries.value().size(), 10'000U);
  for (int i = 0; i < 10'000; ++i) {
    const auto found = entries.value().find(std::to_string(i));
    ASSERT_NE(found, entries.value().end()) << i;
    EXPECT_EQ(found->second.attributes.size_bytes, static_cast<uint64_t>(i % 7));
    EXPECT_EQ(found->second.attributes.type, FileType::kRegular);
  }
  // What a listing says is what stat says.
  EXPECT_EQ(entries.value().at("17").validator, stat("many/17").validator);
  EXPECT_EQ(entries.value().at("17").identity, stat("many/17").identity);
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
    write_file(at(name), "content of " + name);
    expected.insert(name);
  }
  const Result<std::map<std::string, NodeInfo>> entries = list("");
  ASSERT_TRUE(entries.ok()) << entries.error().message();
  std::set<std::string> listed;
  for (const auto& [name, info] : entries.value()) listed.insert(name);
  EXPECT_EQ(listed, expected);
  for (const std::string& name : names) {
    const Result<std::string> read = read_file(*origin_, name);
    ASSERT_TRUE(read.ok()) << name << ": " << read.error().message();
    EXPECT_EQ(read.value(), "content of " + name);
  }
}

TEST_P(OriginConformance, LinksAreShownAndNotFollowed) {
  write_file(at("target"), "secret");
  for (const char* target : {"target", "/etc/passwd", "dangling/\xff\n"}) {
    ASSERT_EQ(::symlink(target, at("link").c_str()), 0);
    EXPECT_EQ(stat("link").attributes.type, FileType::kSymlink);
    const Result<std::string> read = origin_->read_link("link", soon());
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(read.value(), target);
    EXPECT_TRUE(origin_->open("link", soon()).is_error(ELOOP));
    const Result<std::map<std::string, NodeInfo>> entries = list("");
    ASSERT_TRUE(entries.ok());
    EXPECT_EQ(entries.value().at("link").attributes.type, FileType::kSymlink);
    ::unlink(at("link").c_str());
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

TEST_P(OriginConformance, WhatMayNotBeReadIsRefused) {
  NETFS_TEST_NEEDS(::geteuid() != 0 ? std::string() : "needs an ordinary user");
  write_file(at("file"), "x");
  std::filesystem::create_directory(at("dir"));
  ASSERT_EQ(::chmod(at("file").c_str(), 0), 0);
  ASSERT_EQ(::chmod(at("dir").c_str(), 0), 0);
  EXPECT_TRUE(origin_->open("file", soon()).is_error(EACCES));
  EXPECT_TRUE(list("dir").is_error(EACCES));
  ASSERT_EQ(::chmod(at("dir").c_str(), 0700), 0);
}

TEST_P(OriginConformance, TheValidatorStandsForTheBytes) {
  write_file(at("file"), pattern(4, 0, 50'000), std::chrono::seconds(100));
  const Validator before = stat("file").validator;
  EXPECT_NE(before.strength, ValidatorStrength::kNone);
  EXPECT_EQ(stat("file").validator, before);
  const std::unique_ptr<OriginFile> file = open("file");
  ASSERT_NE(file, nullptr);
  Result<ReadBytes> read = read_range(*origin_, *file, {0, 50'000});
  ASSERT_TRUE(read.ok());
  ASSERT_TRUE(read.value().validator.has_value());
  EXPECT_EQ(*read.value().validator, before);
  // Other bytes of the same length, in place: a read afterwards tells, even through the old handle.
  write_file(at("file"), pattern(5, 0, 50'000), std::chrono::seconds(50));
  EXPECT_FALSE(stat("file").validator == before);
  read = read_range(*origin_, *file, {0, 50'000});
  ASSERT_TRUE(read.ok());
  ASSERT_TRUE(read.value().validator.has_value());
  EXPECT_FALSE(*read.value().validator == before);
}

TEST_P(OriginConformance, OfAFileReplacedWhileOpenEachReadIsOneVersionAndNamesIt) {
  const uint64_t size = 400'000;
  write_file(at("file"), pattern(6, 0, size), std::chrono::seconds(200));
  const Validator old_version = stat("file").validator;
  const std::unique_ptr<OriginFile> file = open("file");
  ASSERT_NE(file, nullptr);
  write_file(at("new"), pattern(7, 0, size), std::chrono::seconds(100));
  std::filesystem::rename(at("new"), at("file"));
  const Validator new_version = stat("file").validator;
  EXPECT_FALSE(new_version == old_version);
  // Many at once, so that every connection is used: one that opens the file now opens the new one.
  std::vector<std::unique_ptr<TestRead>> reads;
  for (int i = 0; i < 32; ++i) {
    reads.push_back(std::make_unique<TestRead>(*file, ByteRange{0, size}, soon()));
    origin_->issue_read(*reads.back());
  }
  for (const auto& read : reads) {
    const std::optional<ReadOutcome> outcome = read->wait(std::chrono::seconds(30));
    ASSERT_TRUE(outcome.has_value());
    ASSERT_TRUE(outcome->validator_after.has_value());
    const bool is_old = read->bytes() == pattern(6, 0, size);
    // A local rename changes the old file's ctime, so its validator may be neither.
    if (is_old) {
      EXPECT_FALSE(*outcome->validator_after == new_version);
    } else {
      EXPECT_TRUE(read->bytes() == pattern(7, 0, size));
      EXPECT_EQ(*outcome->validator_after, new_version);
    }
  }
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
    const Result<OriginRequest> request = GetParam().request(c.path);
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

TEST_P(OriginConformance, SixteenThreadsMayUseItAtOnce) {
  for (int i = 0; i < 16; ++i) {
    std::filesystem::create_directory(at("d" + std::to_string(i)));
    write_file(at("d" + std::to_string(i) + "/file"), pattern(100 + i, 0, 300'000));
  }
  std::vector<sync::Thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back("test-" + std::to_string(i), [this, i] {
      const std::string dir = "d" + std::to_string(i);
      for (int round = 0; round < 10; ++round) {
        const Result<std::string> read = read_file(*origin_, dir + "/file");
        EXPECT_TRUE(read.ok());
        EXPECT_TRUE(read.ok() && read.value() == pattern(100 + i, 0, 300'000));
        Result<std::map<std::string, NodeInfo>> entries = list(dir);
        EXPECT_TRUE(entries.ok() && entries.value().size() == 1);
        EXPECT_TRUE(origin_->stat(dir + "/missing", soon()).is_error(ENOENT));
      }
    });
  }
  for (sync::Thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace netfs::test
