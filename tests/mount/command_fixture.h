#pragma once
// The netfs command over a small local tree, for command_test and status_test: a folder with one
// file, a mount point, a cache directory, and a watchdog that ends a mount which hangs.

#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "daemon/runtime_dir.h"
#include "fuse/mount_table.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kBound{150};

class CommandTest : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
    ::mkdir((source_ + "/folder").c_str(), 0755);
    write_file(source_ + "/folder/file", pattern(1, 0, 300'000));
    mount_point_ = temp_.make_dir("mnt");
    cache_ = temp_ / "cache";
    url_ = "file://" + source_;
    watchdog_ = std::make_unique<Watchdog>(
        kBound, [this] { ::umount2(mount_point_.c_str(), MNT_FORCE | MNT_DETACH); });
  }
  void TearDown() override { ::umount2(mount_point_.c_str(), MNT_DETACH); }

  Finished netfs(std::vector<std::string> words) {
    words.insert(words.begin(), netfs_binary());
    return run(words, kBound);
  }
  Finished mount(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"mount", url_, mount_point_, "--cache-dir", cache_};
    words.insert(words.end(), more.begin(), more.end());
    return netfs(words);
  }
  [[nodiscard]] std::optional<fuse::MountEntry> entry() const {
    return fuse::find_mount(mount_point_).value();
  }
  [[nodiscard]] nlohmann::json status() {
    const Finished finished = netfs({"status", mount_point_, "--json"});
    return nlohmann::json::parse(finished.output, nullptr, false);
  }
  void expect_daemon_ends() {
    const daemon::OwnerPaths paths =
        daemon::owner_paths(daemon::runtime_dir().value(), daemon::owner_name(cache_).value());
    EXPECT_TRUE(wait_until([&] { return ::access(paths.lock.c_str(), F_OK) != 0; }, kBound));
  }

  TempDir temp_;
  std::string source_;
  std::string mount_point_;
  std::string cache_;
  std::string url_;
  std::unique_ptr<Watchdog> watchdog_;
};

}  // namespace netfs::test
