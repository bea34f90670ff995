// Goal: a worker that dies while the origin cannot be reached is followed by one that serves its
// mounts at once, as --on-error says; with the origin back all goes on, through the same
// descriptors.

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kSoon{60};
constexpr uint64_t kBytes = 300'000;

class Away : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(program("sshd"));
    source_ = temp_.make_dir("source");
    for (const char* name : {"read", "other", "dir/below"}) {
      std::filesystem::create_directories(source_ + "/dir");
      write_file(source_ + "/" + name, pattern(name[0], 0, kBytes));
    }
    sshd_ = std::make_unique<TestSshd>(temp_);
    ASSERT_TRUE(sshd_->ready()) << sshd_->log();
  }

  void start(const std::vector<std::string>& more) {
    NetfsMount::Options options{
        .url = sshd_->url(source_), .cache_dir = temp_ / "cache", .more = sshd_->mount_options()};
    options.more.insert(options.more.end(), {"--metadata-ttl", "1s", "--timeout", "4s"});
    options.more.insert(options.more.end(), more.begin(), more.end());
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
    watchdog_ = std::make_unique<Watchdog>(kBound, [this] { mount_->abort(); });
  }

  [[nodiscard]] std::string here(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  void kill_worker() {
    const pid_t worker = mount_->worker();
    ASSERT_EQ(kill_process(worker, SIGKILL), 0);
    ASSERT_TRUE(wait_until([&] { return mount_->worker() != worker; }, kSoon));
  }
  // What `netfs status` says of the origin.
  [[nodiscard]] std::string origin_state() const {
    const nlohmann::json status = mount_->status();
    if (!status.is_object() || status["mounts"].empty()) return "";
    for (const auto& field : status["mounts"][0]["origin"]) {
      if (field["name"] == "state") return field["value"];
    }
    return "there";
  }
  // The mount was given up once, where its origin had been away for --timeout: which is more than
  // a login takes, also beside other tests.
  void outlast_the_timeout() {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(6);
    (void)wait_until([&] { return Clock::system().now() >= until; }, kSoon);
    ASSERT_TRUE(mount_->mounted());
    ASSERT_EQ(origin_state(), "away") << mount_->log();
  }
  void come_back() {
    ASSERT_TRUE(sshd_->start_again()) << sshd_->log();
    ASSERT_TRUE(wait_until([&] { return origin_state() == "there"; }, kSoon)) << mount_->log();
  }
  static std::string read_fd(int fd) {
    std::string bytes(kBytes, '\0');
    const ssize_t n = ::pread(fd, bytes.data(), bytes.size(), 0);
    bytes.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return bytes;
  }
  static int stat_error(const std::string& path) {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 ? 0 : errno;
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
  std::unique_ptr<Watchdog> watchdog_;
};

TEST_F(Away, WithStaleWhatIsCachedIsReadOn) {
  start({"--on-error=stale"});
  UniqueFd fd(::open(here("read").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  ASSERT_EQ(read_fd(fd.get()), pattern('r', 0, kBytes));
  ASSERT_TRUE(same_bytes(here("dir/below"), source_ + "/dir/below"));
  ASSERT_TRUE(wait_until([&] { return mount_->status_number("sealed_count") >= 2; }, kSoon));
  sshd_->stop();
  kill_worker();
  outlast_the_timeout();
  drop_pages(here("read"));
  EXPECT_EQ(read_fd(fd.get()), pattern('r', 0, kBytes)) << "what is open";
  EXPECT_TRUE(same_bytes(here("read"), source_ + "/read")) << "and what is opened anew";
  EXPECT_TRUE(same_bytes(here("dir/below"), source_ + "/dir/below"));
  struct stat root {};
  EXPECT_EQ(::stat(mount_->path().c_str(), &root), 0);
  struct stat there {};
  ASSERT_EQ(::stat(source_.c_str(), &there), 0);
  EXPECT_EQ(root.st_mode, there.st_mode);
  EXPECT_FALSE(read_whole(here("other")).ok()) << "nobody has it";
  come_back();
  EXPECT_TRUE(wait_until([&] { return read_whole(here("other")).ok(); }, kSoon)) << mount_->log();
  EXPECT_TRUE(same_bytes(here("other"), source_ + "/other"));
  EXPECT_EQ(read_fd(fd.get()), pattern('r', 0, kBytes));
  fd.reset();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(Away, WithErrorCallsFailInTimeAndGoOnOnceItIsBack) {
  start({"--on-error=error", "--no-cache"});
  UniqueFd fd(::open(here("read").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  ASSERT_EQ(read_fd(fd.get()), pattern('r', 0, kBytes));
  sshd_->stop();
  kill_worker();
  const int first = stat_error(here("other"));
  EXPECT_TRUE(first == ETIMEDOUT || first == ENOTCONN) << strerror(first);
  outlast_the_timeout();
  // At once, after that; when it began is the worker's to know.
  EXPECT_TRUE(wait_until([&] { return stat_error(here("other")) == ENOTCONN; }, kSoon));
  come_back();
  EXPECT_TRUE(wait_until([&] { return stat_error(here("other")) == 0; }, kSoon));
  drop_pages(here("read"));
  EXPECT_EQ(read_fd(fd.get()), pattern('r', 0, kBytes)) << "the same descriptor";
  fd.reset();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(Away, WithWaitCallsAreAnsweredOnceItIsBack) {
  start({"--on-error=wait", "--no-cache"});
  sshd_->stop();
  kill_worker();
  std::atomic<bool> ended{false};
  std::string bytes;
  {
    const sync::Thread reader("reader", [&] {
      bytes = whole(here("other"));
      ended = true;
    });
    outlast_the_timeout();
    EXPECT_FALSE(ended);
    come_back();
  }
  EXPECT_EQ(bytes, pattern('o', 0, kBytes));
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(Away, WhatIsOpenForWritingIsWrittenOn) {
  for (const char* mode : {"--write=through", "--write=close", "--write=back"}) {
    start({mode, "--on-error=wait"});
    UniqueFd fd(::open(here("written").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(fd) << mode;
    ASSERT_EQ(::pwrite(fd.get(), "before ", 7, 0), 7);
    ASSERT_EQ(::fsync(fd.get()), 0);
    sshd_->stop();
    kill_worker();
    outlast_the_timeout();
    come_back();
    EXPECT_EQ(::pwrite(fd.get(), "and after", 9, 7), 9) << mode << ": " << strerror(errno);
    EXPECT_EQ(::fsync(fd.get()), 0) << mode << ": " << strerror(errno);
    EXPECT_EQ(whole(here("written")), "before and after") << mode;
    fd.reset();
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
    EXPECT_EQ(whole(source_ + "/written"), "before and after") << mode;
    std::filesystem::remove(source_ + "/written");
  }
}

TEST_F(Away, AMountWhoseOriginIsAwayCanBeUnmounted) {
  start({"--on-error=wait"});
  sshd_->stop();
  kill_worker();
  outlast_the_timeout();
  EXPECT_TRUE(mount_->unmount(kSoon)) << mount_->log();
}

// Another directory has taken the place of the one that is mounted: its files are not shown for
// those that were there, nor is anything changed in it.
TEST_F(Away, WhatComesBackAsAnotherTreeIsNotUsed) {
  const std::string aside = temp_ / "aside";
  mount_ = std::make_unique<NetfsMount>(
      NetfsMount::Options{.url = "file://" + source_,
                          .cache_dir = temp_ / "cache",
                          .more = {"--write=through", "--metadata-ttl", "1s", "--timeout", "2s"}},
      temp_);
  ASSERT_TRUE(mount_->ready()) << mount_->log();
  const Watchdog watchdog(kBound, [this] { mount_->abort(); });
  UniqueFd fd(::open(here("read").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(fd);
  std::filesystem::rename(source_, aside);
  std::filesystem::create_directory(source_);
  write_file(source_ + "/read", "of another tree");
  kill_worker();
  EXPECT_TRUE(wait_until([&] { return origin_state() == "not used"; }, kSoon));
  // For a second the kernel believes what it was told before.
  EXPECT_TRUE(wait_until([&] { return stat_error(here("read")) == ENOTCONN; }, kSoon));
  EXPECT_LT(::open(here("new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644), 0);
  EXPECT_FALSE(std::filesystem::exists(source_ + "/new"));
  EXPECT_TRUE(mount_->says("another directory has its place")) << mount_->log();
  std::filesystem::remove_all(source_);
  std::filesystem::rename(aside, source_);
  EXPECT_TRUE(wait_until([&] { return origin_state() == "there"; }, kSoon)) << mount_->log();
  EXPECT_TRUE(wait_until([&] { return stat_error(here("read")) == 0; }, kSoon));
  EXPECT_EQ(::pwrite(fd.get(), "again", 5, 0), 5) << strerror(errno);
  EXPECT_EQ(whole(source_ + "/read").substr(0, 5), "again");
  fd.reset();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

}  // namespace
}  // namespace netfs::test
