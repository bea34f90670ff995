#pragma once
// FrozenCache: a mount whose cache lies on a file system that a test can freeze; FrozenWorker: the
// same for tests that kill its worker while it stands there.

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/support/loop_image.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {

inline constexpr unsigned kThreads = 8;
inline constexpr uint64_t kMappedBytes = 24 << 20;
inline constexpr uint64_t kReadBytes = 4 << 20;
inline constexpr unsigned kNames = 200;
// Far more than reading takes at the origin's speed, far less than for ever.
inline constexpr std::chrono::seconds kBound{120};
inline constexpr std::chrono::seconds kWait{60};
inline constexpr std::chrono::seconds kFreezeBound{180};

struct Parameters {
  const char* disk;
  const char* origin;
  const char* write = nullptr;  // null: read-only
};

class FrozenCache : public testing::TestWithParam<Parameters> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(loop_devices());
    make_source();
    disk_ = std::make_unique<LoopImage>(temp_, GetParam().disk);
    ASSERT_TRUE(disk_->ready()) << disk_->trouble();
    NetfsMount::Options options{.url = "file://" + source_, .cache_dir = disk_->path() + "/cache"};
    if (GetParam().origin == std::string("sftp")) {
      NETFS_TEST_NEEDS(program("sshd"));
      sshd_ = std::make_unique<TestSshd>(temp_);
      ASSERT_TRUE(sshd_->ready()) << sshd_->log();
      options.url = sshd_->url(source_);
      options.more = sshd_->mount_options();
    }
    options.more.insert(options.more.end(), {"--simulate", "rtt=2ms"});
    if (GetParam().write != nullptr) {
      options.more.push_back(std::string("--write=") + GetParam().write);
    }
    options_ = options;
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
    // The cache works before it is frozen, or the test would prove nothing.
    ASSERT_TRUE(same_bytes(mount_->path() + "/before", source_ + "/before"));
    ASSERT_TRUE(wait_until([&] { return stored_blocks() > 0; }, kWait))
        << "nothing was stored: " << mount_->status();
  }

  void TearDown() override {
    if (testing::Test::HasFailure() && mount_) {
      std::printf("log of the mount:\n%s\n", mount_->log().c_str());
    }
    mount_.reset();
  }

  void make_source() {
    source_ = temp_.make_dir("source");
    write_file(source_ + "/before", pattern(1, 0, 300000));
    write_file(source_ + "/mapped", pattern(2, 0, kMappedBytes + 1234));
    for (unsigned i = 0; i < kThreads; ++i) {
      write_file(source_ + "/read" + std::to_string(i), pattern(10 + i, 0, kReadBytes + i * 777));
    }
    ASSERT_EQ(::mkdir((source_ + "/names").c_str(), 0755), 0);
    for (unsigned i = 0; i < kNames; ++i) {
      write_file(source_ + "/names/name" + std::to_string(i), std::string(i, 'x'));
    }
  }

  int64_t stored_blocks() const { return mount_->status_number("stored_blocks"); }

  // Names learnt before, asked for again once the kernel has forgotten them.
  void look_up_and_list(std::atomic<unsigned>& failures) const {
    drop_dentries();
    const Result<std::vector<std::string>> names = list_names(mount_->path() + "/names");
    if (!names.ok() || names.value().size() != kNames) {
      ADD_FAILURE() << "the listing is wrong";
      ++failures;
      return;
    }
    drop_dentries();
    for (unsigned i = 0; i < kNames; ++i) {
      struct stat st {};
      const std::string path = mount_->path() + "/names/name" + std::to_string(i);
      if (::stat(path.c_str(), &st) != 0 || st.st_size != static_cast<off_t>(i)) {
        ADD_FAILURE() << path << " is wrong";
        ++failures;
      }
    }
  }

  // Everything a reader may do, all at once.
  void read_all_cold() {
    std::atomic<unsigned> failures{0};
    Process faulting(
        {fault_reader(), mount_->path() + "/mapped", source_ + "/mapped", std::to_string(kThreads)},
        temp_ / "fault.log");
    {
      std::vector<sync::Thread> readers;
      for (unsigned i = 0; i < kThreads; ++i) {
        readers.emplace_back("read-" + std::to_string(i), [&, i] {
          const std::string name = "/read" + std::to_string(i);
          const testing::AssertionResult same = same_bytes(mount_->path() + name, source_ + name);
          if (!same) ADD_FAILURE() << same.message();
        });
      }
      readers.emplace_back("names", [&] { look_up_and_list(failures); });
    }
    EXPECT_EQ(failures, 0u);
    EXPECT_EQ(faulting.wait(kBound), 0) << faulting.output();
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<LoopImage> disk_;
  std::unique_ptr<TestSshd> sshd_;
  NetfsMount::Options options_;
  std::unique_ptr<NetfsMount> mount_;
};

// Whoever is killed while it stands in a write to the disk cannot end before the thaw; its users do
// not wait for that.
class FrozenWorker : public FrozenCache {
 protected:
  static bool stands_in_the_cache(pid_t worker) {
    return stands(worker, {"netfs-store", "netfs-cache"});
  }
  // Whether a thread whose name begins so is where it cannot be killed.
  static bool stands(pid_t worker, const std::vector<std::string>& threads) {
    std::error_code gone;
    const std::string tasks = "/proc/" + std::to_string(worker) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
      const std::string stat = read_text(task.path() / "stat");
      if (stat.find(") D ") == std::string::npos) continue;
      for (const std::string& thread : threads) {
        if (stat.find("(" + thread) != std::string::npos) return true;
      }
    }
    return false;
  }
  void kill_and_expect_served(pid_t worker, const std::string& name) {
    EXPECT_EQ(kill_process(worker, SIGKILL), 0);
    EXPECT_TRUE(same_bytes(mount_->path() + name, source_ + name));
    EXPECT_NE(mount_->worker(), worker);
  }
  [[nodiscard]] bool is_cached() const {
    const nlohmann::json status = mount_->status();
    return status.is_object() && status["mounts"][0].value("cached", false);
  }
  // Whoever was left behind is gone, and nothing is in the way of the next mount.
  void expect_clean(const std::vector<pid_t>& dead) {
    for (const pid_t pid : dead) {
      EXPECT_TRUE(wait_until([&] { return kill_process(pid, 0) != 0; }, kWait)) << pid;
    }
    EXPECT_EQ(children_of(mount_->supervisor()).size(), 1U);
    // By the worker that had to do without.
    EXPECT_TRUE(wait_until([&] { return mount_->says("is there again"); }, kWait)) << mount_->log();
    EXPECT_TRUE(wait_until([&] { return is_cached(); }, kWait)) << mount_->status();
    EXPECT_TRUE(same_bytes(mount_->path() + "/read3", source_ + "/read3"));
    EXPECT_TRUE(wait_until([&] { return stored_blocks() > 0; }, kWait)) << mount_->status();
    EXPECT_TRUE(mount_->unmount(kWait)) << mount_->log();
    mount_.reset();
    mount_ = std::make_unique<NetfsMount>(options_, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
    const int64_t before = stored_blocks();
    EXPECT_TRUE(same_bytes(mount_->path() + "/read4", source_ + "/read4"));
    EXPECT_TRUE(wait_until([&] { return stored_blocks() > before; }, kWait)) << mount_->status();
  }
};

}  // namespace netfs::test
