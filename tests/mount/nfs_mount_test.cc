// Goal: a mount of a real NFS server: files that lose a name while they are open, of one that is
// written to; and one by version 4, which is read. Method: Ganesha from tests/servers/nfs.sh.

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_nfs.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};

class NfsMount : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(TestNfs::needs());
    nfs_ = std::make_unique<TestNfs>(temp_);
    ASSERT_TRUE(nfs_->ready()) << nfs_->log();
    tree_ = temp_.make_dir("tree");
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = nfs_->url(tree_), .cache_dir = temp_ / "cache", .more = {"--write", GetParam()}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  [[nodiscard]] std::string at(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  [[nodiscard]] UniqueFd open_both_ways(const std::string& name) const {
    return UniqueFd(::open(at(name).c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  }
  static void append(const UniqueFd& fd, const std::string& text) {
    ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static std::string bytes_of(const UniqueFd& fd) {
    std::string bytes(100, ' ');
    const ssize_t got = ::pread(fd.get(), bytes.data(), bytes.size(), 0);
    return got < 0 ? std::string(strerror(errno)) : bytes.substr(0, static_cast<size_t>(got));
  }

  TempDir temp_;
  std::string tree_;
  std::unique_ptr<TestNfs> nfs_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] {
                             if (mount_) mount_->abort();
                           }};
};

INSTANTIATE_TEST_SUITE_P(Ways, NfsMount, testing::Values("through", "close"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(NfsMount, AFileThatIsOpenLivesOnByItsOtherName) {
  write_file(at("a"), "one ");
  std::filesystem::create_hard_link(at("a"), at("b"));
  const UniqueFd fd = open_both_ways("a");
  ASSERT_TRUE(fd) << strerror(errno);
  std::filesystem::remove(at("a"));
  ASSERT_NO_FATAL_FAILURE(append(fd, "two "));
  EXPECT_EQ(bytes_of(fd), "one two ");
  EXPECT_EQ(read_text(at("b")), "one two ");
  // And where another file takes the place of one of its names.
  std::filesystem::create_hard_link(at("b"), at("c"));
  write_file(at("new"), "another");
  std::filesystem::rename(at("new"), at("b"));
  ASSERT_NO_FATAL_FAILURE(append(fd, "three"));
  EXPECT_EQ(bytes_of(fd), "one two three");
  EXPECT_EQ(read_text(at("b")), "another");
  EXPECT_EQ(read_text(at("c")), "one two three");
  // And with its last name it lives as long as it is open.
  std::filesystem::remove(at("c"));
  ASSERT_NO_FATAL_FAILURE(append(fd, "!"));
  EXPECT_EQ(bytes_of(fd), "one two three!");
  EXPECT_FALSE(std::filesystem::exists(at("c")));
  EXPECT_EQ(mount_->log().find("killed"), std::string::npos) << mount_->log();
}

// What others change there is seen, by its change attribute, as soon as the server itself sees it.
TEST(Nfs4Mount, IsReadColdAndFromTheCacheAndSeesWhatChanges) {
  NETFS_TEST_NEEDS(root());
  NETFS_TEST_NEEDS(fuse());
  NETFS_TEST_NEEDS(TestNfs::needs());
  const TempDir temp;
  std::unique_ptr<NetfsMount> mount;
  const Watchdog watchdog(kBound, [&] {
    if (mount) mount->abort();
  });
  const TestNfs nfs(temp);
  ASSERT_TRUE(nfs.ready()) << nfs.log();
  const std::string tree = temp.make_dir("tree");
  std::filesystem::create_directory(tree + "/d");
  // Old enough to be believed.
  write_file(tree + "/d/file", pattern(1, 0, 3'000'000), std::chrono::seconds(100));
  std::filesystem::create_symlink("d/file", tree + "/link");
  const auto mount_again = [&] {
    mount.reset();
    mount = std::make_unique<NetfsMount>(
        NetfsMount::Options{.url = nfs.url_4(tree),
                            .cache_dir = temp / "cache",
                            .more = {"--write", "close", "--metadata-ttl", "100ms", "--hot", "0s"}},
        temp);
    return mount->ready();
  };
  ASSERT_TRUE(mount_again()) << mount->log();
  EXPECT_TRUE(mount->says("is mounted read-only")) << mount->log();
  EXPECT_TRUE(read_text(mount->path() + "/link") == pattern(1, 0, 3'000'000));
  EXPECT_EQ(mount->status_number("downloaded_bytes"), 3'000'000) << mount->status();
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(mount->path() + "/d"), {}), 1);
  EXPECT_EQ(::open((mount->path() + "/new").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644), -1);
  EXPECT_EQ(errno, EROFS);
  ASSERT_TRUE(mount_again()) << mount->log();
  EXPECT_TRUE(read_text(mount->path() + "/d/file") == pattern(1, 0, 3'000'000));
  EXPECT_EQ(mount->status_number("downloaded_bytes"), 0) << mount->status();
  write_file(tree + "/d/file", pattern(2, 0, 2'000'000));
  EXPECT_TRUE(wait_until(
      [&] { return read_text(mount->path() + "/d/file") == pattern(2, 0, 2'000'000); }, kBound))
      << mount->log();
}

}  // namespace
}  // namespace netfs::test
