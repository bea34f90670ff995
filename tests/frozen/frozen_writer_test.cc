// Goal: who writes outlives a worker that is killed while the cache's disk is frozen.  By close he
// goes on at once; by back, whose journal lies there, all wait for the thaw and nobody hears of it.

#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "tests/crash/user.h"
#include "tests/crash/without_worker.h"
#include "tests/frozen/frozen_fixture.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

class FrozenWriter : public FrozenWorker {
 protected:
  void SetUp() override {
    FrozenWorker::SetUp();
    if (IsSkipped() || HasFailure()) return;
    read_ = UniqueFd(::open((mount_->path() + "/read2").c_str(), O_RDONLY | O_CLOEXEC));
    log_ = UniqueFd(
        ::open((mount_->path() + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    ASSERT_TRUE(read_ && log_);
    users_.push_back(std::make_unique<User>("reader", 1, [this](std::mt19937_64& random) {
      return read_a_part(static_cast<off_t>(random() % (kReadBytes - kPart)));
    }));
    users_.push_back(std::make_unique<User>("logger", 2, [this](std::mt19937_64&) -> std::string {
      const std::string line = "line " + std::to_string(logged_.size()) + "\n";
      const ssize_t n = ::write(log_.get(), line.data(), line.size());
      if (n != static_cast<ssize_t>(line.size())) return failed("append", n < 0 ? errno : 0);
      if (::fsync(log_.get()) != 0) return failed("fsync", errno);
      logged_ += line;
      return "";
    }));
    EXPECT_TRUE(all_go_on());
  }
  void TearDown() override {
    for (const auto& user : users_) user->stop();
    FrozenWorker::TearDown();
  }

  // By the descriptor that is open since the beginning, and not from the kernel's pages.
  [[nodiscard]] std::string read_a_part(off_t at) const {
    std::string bytes(kPart, '\0');
    ::posix_fadvise(read_.get(), 0, 0, POSIX_FADV_DONTNEED);
    if (::pread(read_.get(), bytes.data(), kPart, at) < 0) return failed("read", errno);
    return bytes == pattern(12, static_cast<uint64_t>(at), kPart) ? "" : "other bytes";
  }
  // Each has done something since that was not under way before.
  [[nodiscard]] bool all_go_on() const {
    std::vector<uint64_t> seen;
    for (const auto& user : users_) seen.push_back(user->rounds());
    return wait_until(
        [&] {
          bool all = true;
          for (size_t i = 0; i < users_.size(); ++i) all = all && users_[i]->rounds() > seen[i] + 1;
          return all;
        },
        kWait);
  }
  void expect_all_fine() {
    EXPECT_TRUE(all_go_on()) << mount_->log();
    for (const auto& user : users_) user->expect_fine();
    EXPECT_EQ(read_text(mount_->path() + "/log"), logged_);
    EXPECT_EQ(::close(log_.release()), 0);
    read_.reset();
    EXPECT_TRUE(mount_->unmount(kWait)) << mount_->log();
    EXPECT_EQ(read_text(source_ + "/log"), logged_) << "nothing acknowledged is lost";
  }

  static constexpr size_t kPart = 50'000;
  UniqueFd read_;
  UniqueFd log_;
  std::string logged_;
  std::vector<std::unique_ptr<User>> users_;
};

class FrozenWriterByClose : public FrozenWriter {};

TEST_P(FrozenWriterByClose, GoesOnBesideTheWorkerThatWasKilledInAWriteToTheCache) {
  const pid_t worker = mount_->worker();
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  const Watchdog watchdog(kBound, [&] {
    frozen.thaw();
    mount_->abort();
  });
  EXPECT_TRUE(same_bytes(mount_->path() + "/read0", source_ + "/read0"));
  EXPECT_TRUE(wait_until([&] { return stands_in_the_cache(worker); }, kWait));
  kill_and_expect_served(worker, "/read1");
  EXPECT_TRUE(all_go_on()) << mount_->log();
  EXPECT_EQ(kill_process(worker, 0), 0) << "it has ended: the test proves nothing";
  EXPECT_TRUE(mount_->says("it is left behind")) << mount_->log();
  EXPECT_TRUE(mount_->says("going on without a cache")) << mount_->log();
  EXPECT_TRUE(frozen.thaw());
  expect_all_fine();
}

class FrozenWriterByBack : public FrozenWriter {};

TEST_P(FrozenWriterByBack, WaitsForTheThawWhenTheWorkerWasKilledAndHearsOfNothing) {
  const pid_t worker = mount_->worker();
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  const Watchdog watchdog(kBound, [&] {
    frozen.thaw();
    mount_->abort();
  });
  EXPECT_TRUE(wait_until(
      [&] {
        return stands(worker, {"netfs-journal", "netfs-jwrite", "netfs-upload"});
      },
      kWait));
  ASSERT_EQ(kill_process(worker, SIGKILL), 0);
  // It cannot end, or is left behind and the next one stands at the journal.
  const auto waits = [&] {
    const pid_t now = mount_->worker();
    const std::vector<std::string> threads{now == worker ? "netfs-upload" : "netfs-control"};
    return (now != worker || state_of(worker) == 'Z') && stands(now, threads);
  };
  EXPECT_TRUE(wait_until(waits, kWait)) << mount_->log();
  EXPECT_EQ(kill_process(worker, 0), 0) << "it has ended: the test proves nothing";
  EXPECT_EQ(mount_->log().find("is served on"), std::string::npos) << mount_->log();
  for (const auto& user : users_) EXPECT_FALSE(user->ended()) << "he waits, and hears no error";
  EXPECT_TRUE(frozen.thaw());
  expect_all_fine();
}

constexpr auto kName = [](const auto& instance) {
  return std::string(instance.param.disk) + "_" + instance.param.origin;
};
INSTANTIATE_TEST_SUITE_P(Disks, FrozenWriterByClose,
                         testing::Values(Parameters{"ext4", "file", "close"},
                                         Parameters{"xfs", "sftp", "close"}),
                         kName);
INSTANTIATE_TEST_SUITE_P(Disks, FrozenWriterByBack,
                         testing::Values(Parameters{"ext4", "file", "back"},
                                         Parameters{"xfs", "sftp", "back"}),
                         kName);

}  // namespace
}  // namespace netfs::test
