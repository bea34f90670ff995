// Goal: a mount of a real CephFS that is written to, beside another client of it: what either does
// is what the other sees, and what has no name any more is used on. Method: Ceph's own daemons from
// tests/servers/ceph.sh, and ceph-fuse.

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ceph.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr std::chrono::seconds kPatience{60};

// One server for all of them; a mount and a folder each.
class CephMount : public testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() {
    if (!TestCeph::needs().empty()) return;
    server_temp() = std::make_unique<TempDir>();
    server() = std::make_unique<TestCeph>(*server_temp());
    beside() = server_temp()->path() + "/beside";
    if (server()->ready() && !server()->mount_beside(beside())) beside().clear();
  }
  static void TearDownTestSuite() {
    server().reset();
    server_temp().reset();
  }
  void SetUp() override {
    NETFS_TEST_NEEDS(TestCeph::needs());
    ASSERT_TRUE(server()->ready() && !beside().empty()) << server()->log();
    tree_ = beside() + "/" + GetParam() + "-" +
            std::to_string(testing::UnitTest::GetInstance()->random_seed()) +
            std::to_string(count_++);
    std::filesystem::create_directory(tree_);
    std::string options;
    for (const auto& [name, value] : server()->options()) {
      options += (options.empty() ? "" : ",") + name + "=" + value;
    }
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = server()->url(tree_),
            .cache_dir = temp_ / "cache",
            .more = {"--write", GetParam(), "--metadata-ttl", "100ms", "-o", options}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  static std::unique_ptr<TempDir>& server_temp() {
    static std::unique_ptr<TempDir> dir;
    return dir;
  }
  static std::unique_ptr<TestCeph>& server() {
    static std::unique_ptr<TestCeph> ceph;
    return ceph;
  }
  static std::string& beside() {
    static std::string path;
    return path;
  }

  [[nodiscard]] std::string here(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  [[nodiscard]] std::string there(const std::string& name) const { return tree_ + "/" + name; }

  static inline int count_ = 0;
  TempDir temp_;
  std::string tree_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] {
                             if (mount_) mount_->abort();
                           }};
};

INSTANTIATE_TEST_SUITE_P(Ways, CephMount, testing::Values("through", "close"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(CephMount, EachSeesWhatTheOtherDoes) {
  const std::string bytes = pattern(1, 0, 3'000'000);
  write_file(here("a"), bytes);
  EXPECT_TRUE(read_whole(there("a")).value() == bytes);
  std::filesystem::create_directory(there("d"));
  std::filesystem::rename(there("a"), there("d/a"));
  EXPECT_TRUE(wait_until([&] { return std::filesystem::exists(here("d/a")); }, kPatience));
  EXPECT_TRUE(read_whole(here("d/a")).value() == bytes);
  // In place, of the same length, and with the times of before.
  const auto times = std::filesystem::last_write_time(there("d/a"));
  const std::string other = pattern(2, 0, 3'000'000);
  {
    const UniqueFd fd(::open(there("d/a").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::write(fd.get(), other.data(), other.size()), static_cast<ssize_t>(other.size()));
  }
  std::filesystem::last_write_time(there("d/a"), times);
  EXPECT_TRUE(wait_until([&] { return read_whole(here("d/a")).value() == other; }, kPatience));
}

TEST_P(CephMount, WhatPosixHasIsThereForTheOtherClient) {
  write_file(here("f"), "bytes");
  std::filesystem::create_hard_link(here("f"), here("g"));
  ASSERT_EQ(::symlink("f", here("l").c_str()), 0);
  ASSERT_EQ(::mkfifo(here("p").c_str(), 0600), 0);
  ASSERT_EQ(::chown(here("f").c_str(), 1234, 2345), 0);
  ASSERT_EQ(::chmod(here("f").c_str(), 0604), 0);
  ASSERT_EQ(::setxattr(here("f").c_str(), "user.a", "b", 1, 0), 0) << strerror(errno);
  ASSERT_EQ(::truncate(here("f").c_str(), 3), 0);
  struct stat st {};
  ASSERT_EQ(::lstat(there("g").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1234U);
  EXPECT_EQ(st.st_gid, 2345U);
  EXPECT_EQ(st.st_mode, S_IFREG | 0604U);
  EXPECT_EQ(st.st_nlink, 2U);
  EXPECT_EQ(st.st_size, 3);
  char value = 0;
  EXPECT_EQ(::getxattr(there("f").c_str(), "user.a", &value, 1), 1);
  EXPECT_EQ(std::filesystem::read_symlink(there("l")), "f");
  ASSERT_EQ(::lstat(there("p").c_str(), &st), 0);
  EXPECT_TRUE(S_ISFIFO(st.st_mode));
  std::filesystem::remove_all(here("g"));
  EXPECT_FALSE(std::filesystem::exists(there("g")));
}

TEST_P(CephMount, WhatLosesItsNameWhileItIsOpenIsUsedOn) {
  write_file(here("f"), "one ");
  const UniqueFd fd(::open(here("f").c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  ASSERT_TRUE(fd) << strerror(errno);
  std::filesystem::remove(here("f"));
  EXPECT_TRUE(std::filesystem::is_empty(there(""))) << "not even a hidden name is left";
  ASSERT_EQ(::write(fd.get(), "two", 3), 3);
  std::string bytes(100, ' ');
  const ssize_t got = ::pread(fd.get(), bytes.data(), bytes.size(), 0);
  ASSERT_EQ(got, 7) << strerror(errno);
  EXPECT_EQ(bytes.substr(0, 7), "one two");
}

// The cluster would keep the locks of a client that died for minutes: the next one throws it out.
TEST_P(CephMount, AKilledWorkerHasLostItsLocksAndSaysSoAndTheyAreFree) {
  write_file(here("f"), "bytes");
  UniqueFd holds(::open(here("f").c_str(), O_RDWR | O_CLOEXEC));
  const UniqueFd beside_it(::open(there("f").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(holds && beside_it) << strerror(errno);
  struct flock range {};
  range.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(holds.get(), F_OFD_SETLK, &range), 0) << strerror(errno);
  ASSERT_EQ(::flock(holds.get(), LOCK_EX), 0) << strerror(errno);
  EXPECT_NE(::fcntl(beside_it.get(), F_OFD_SETLK, &range), 0);
  EXPECT_NE(::flock(beside_it.get(), LOCK_EX | LOCK_NB), 0);
  ASSERT_EQ(kill_process(mount_->worker(), SIGKILL), 0);
  EXPECT_TRUE(wait_until(
      [&] {
        return ::fcntl(beside_it.get(), F_OFD_SETLK, &range) == 0 &&
               ::flock(beside_it.get(), LOCK_EX | LOCK_NB) == 0;
      },
      kPatience));
  char byte = 0;
  EXPECT_EQ(::pread(holds.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(::flock(holds.get(), LOCK_SH | LOCK_NB), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(::close(holds.release()), -1) << "and so does its close";
  EXPECT_EQ(::flock(beside_it.get(), LOCK_UN), 0);
  holds = UniqueFd(::open(here("f").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(::flock(holds.get(), LOCK_EX | LOCK_NB), 0) << strerror(errno);
}

TEST_P(CephMount, AMetadataServerThatIsStartedAgainIsNotNoticed) {
  write_file(here("f"), "before");
  const UniqueFd fd(::open(here("f").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(fd) << strerror(errno);
  server()->crash("mds");
  ASSERT_TRUE(server()->start_again()) << server()->log();
  ASSERT_EQ(::pwrite(fd.get(), "after!", 6, 0), 6) << strerror(errno);
  ASSERT_EQ(::fsync(fd.get()), 0) << strerror(errno);
  write_file(here("g"), "new");
  EXPECT_EQ(read_whole(there("f")).value(), "after!");
  EXPECT_EQ(read_whole(there("g")).value(), "new");
}

}  // namespace
}  // namespace netfs::test
