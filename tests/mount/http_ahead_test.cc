// Goal: who reads small files in turn over a far HTTP link waits for few round trips, through the
// whole mount.  Method: nginx behind delay_proxy.

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>

#include "tests/mount/files_ahead.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_http.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr unsigned kDirectories = 6;
constexpr unsigned kFiles = 30;
constexpr size_t kBytes = 10'000;

class HttpAhead : public testing::Test {
 protected:
  explicit HttpAhead(std::string ttl = "60s") : ttl_(std::move(ttl)) {}
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
    http_ = std::make_unique<TestHttp>(temp_, std::vector<std::string>{"nginx"});
    ASSERT_TRUE(http_->ready()) << http_->log();
    source_ = temp_.make_dir("source");
    for (unsigned d = 0; d < kDirectories; ++d) {
      std::filesystem::create_directory(source_ + "/" + directory(d));
      for (unsigned f = 0; f < kFiles; ++f) {
        write_file(source_ + "/" + directory(d) + "/" + name(f), bytes_of(d, f),
                   std::chrono::hours(24));
      }
    }
    proxy_ = std::make_unique<Process>(
        std::vector<std::string>{NETFS_TEST_DELAY_PROXY, "--listen", "0", "--to",
                                 "127.0.0.1:" + http_->setting("HTTP_NGINX_HTML_PORT"), "--rtt",
                                 "20ms"},
        temp_ / "proxy.log");
    ASSERT_TRUE(
        wait_until([&] { return proxy_->output().find('\n') != std::string::npos; }, kBound));
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = "http://127.0.0.1:" + std::to_string(std::stoi(proxy_->output())) + source_,
            .cache_dir = temp_ / "cache",
            .more = {"--metadata-ttl", ttl_}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  static std::string directory(unsigned d) { return "d" + std::to_string(10 + d); }
  static std::string name(unsigned f) { return "f" + std::to_string(10 + f); }
  static std::string bytes_of(unsigned d, unsigned f) { return pattern(100 * d + f, 0, kBytes); }
  void expect_read(unsigned d, unsigned f) const {
    const std::string path = mount_->path() + "/" + directory(d) + "/" + name(f);
    const Result<std::string> bytes = read_whole(path);
    ASSERT_TRUE(bytes.ok()) << path << ": " << bytes.error().message();
    EXPECT_TRUE(bytes.value() == bytes_of(d, f)) << path;
  }
  void list(unsigned d) const {
    const std::filesystem::directory_iterator all(mount_->path() + "/" + directory(d));
    EXPECT_EQ(std::distance(begin(all), end(all)), kFiles);
  }
  [[nodiscard]] nlohmann::json status() const { return mount_->status()["mounts"][0]; }

  const std::string ttl_;
  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestHttp> http_;
  std::unique_ptr<Process> proxy_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] {
                             if (mount_) mount_->abort();
                           }};
};

TEST_F(HttpAhead, FilesReadInTurnAreUnderWayWhenTheyAreOpened) {
  const MonoTime began = Clock::system().now();
  for (unsigned d = 0; d < kDirectories; ++d) {
    list(d);
    for (unsigned f = 0; f < kFiles; ++f) expect_read(d, f);
  }
  const std::chrono::duration<double> took = Clock::system().now() - began;
  std::printf("%.0f files a second, listings included\n", kDirectories * kFiles / took.count());
  const nlohmann::json ahead = status()["files_ahead"];
  EXPECT_GE(ahead["used"].get<unsigned>(), kDirectories * kFiles / 2) << ahead;
  EXPECT_EQ(ahead["wasted"].get<unsigned>(), 0U) << ahead;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// By names that he knows: he lists the first directory only.
TEST_F(HttpAhead, FilesReadInTurnGoOnInDirectoriesThatTheReaderDoesNotList) {
  EXPECT_EQ(list_names(mount_->path()).value().size(), kDirectories);
  list(0);
  for (unsigned f = 0; f < kFiles; ++f) expect_read(0, f);
  const unsigned before = status()["files_ahead"]["used"].get<unsigned>();
  for (unsigned d = 1; d < kDirectories; ++d) {
    for (unsigned f = 0; f < kFiles; ++f) expect_read(d, f);
  }
  const nlohmann::json ahead = status()["files_ahead"];
  EXPECT_GE(ahead["used"].get<unsigned>() - before, (kDirectories - 1) * kFiles / 2) << ahead;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// Whoever goes through the tree finds the next directories listed, with all that a HEAD says.
TEST_F(HttpAhead, ATreeThatIsWalkedIsListedAheadOfWhoWalks) {
  unsigned files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount_->path())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(entry.file_size(), kBytes) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, kDirectories * kFiles);
  const nlohmann::json names = status()["names"];
  EXPECT_GE(names["ahead_used"].get<unsigned>(), kDirectories / 2) << names;
  EXPECT_EQ(names["ahead_wasted"].get<unsigned>(), 0U) << names;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// What was fetched ahead was of another version than the one that was listed: its open asks.
TEST_F(HttpAhead, AFileThatWasReplacedAfterItWasListedIsReadAsItIsNow) {
  list(0);
  for (unsigned f = 10; f < kFiles; ++f) {
    const std::string path = source_ + "/" + directory(0) + "/" + name(f);
    write_file(path + ".new", bytes_of(7, f), std::chrono::hours(12));
    std::filesystem::rename(path + ".new", path);
  }
  for (unsigned f = 0; f < 10; ++f) expect_read(0, f);
  // Whoever reads slowly enough finds all that was under way settled.
  const auto settled = [&] { return status()["bytes"]["downloaded_bytes"].get<size_t>() > 0; };
  ASSERT_TRUE(wait_until(settled, kBound));
  for (unsigned f = 10; f < kFiles; ++f) {
    const Result<std::string> bytes =
        read_whole(mount_->path() + "/" + directory(0) + "/" + name(f));
    ASSERT_TRUE(bytes.ok()) << name(f) << ": " << bytes.error().message();
    EXPECT_TRUE(bytes.value() == bytes_of(7, f)) << name(f);
  }
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(HttpAhead, OneFileOfEachDirectoryFetchesNoOther) {
  for (unsigned d = 0; d < kDirectories; ++d) {
    list(d);
    expect_read(d, (7 * d) % kFiles);
  }
  const nlohmann::json now = status();
  EXPECT_LT(now["bytes"]["downloaded_bytes"].get<size_t>(), 2 * kDirectories * kBytes);
  EXPECT_EQ(now["files_ahead"]["fetched"].get<unsigned>(), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(HttpAhead, FilesReadAtRandomFetchNoOther) {
  constexpr unsigned kMany = 200;
  std::filesystem::create_directory(source_ + "/many");
  for (unsigned f = 0; f < kMany; ++f) {
    write_file(source_ + "/many/" + name(f), bytes_of(9, f), std::chrono::hours(24));
  }
  const Result<std::vector<std::string>> listed = list_names(mount_->path() + "/many");
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  const std::vector<std::string> names = far_apart(listed.value(), 40);
  EXPECT_EQ(names.size(), 40U);
  for (const std::string& name : names) {
    EXPECT_TRUE(same_bytes(mount_->path() + "/many/" + name, source_ + "/many/" + name));
  }
  EXPECT_EQ(status()["bytes"]["downloaded_bytes"].get<size_t>(), 40 * kBytes);
  EXPECT_EQ(files_ahead_of(*mount_)["fetched"].get<unsigned>(), 0U);
  // The same reader in turn.
  list(0);
  for (unsigned f = 0; f < kFiles; ++f) expect_read(0, f);
  EXPECT_GT(files_ahead_of(*mount_)["fetched"].get<unsigned>(), 0U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// Names are believed for no longer, and so long a file that was fetched may yet be read.
class HttpAheadUnread : public HttpAhead {
 protected:
  HttpAheadUnread() : HttpAhead("8s") {}
};

TEST_F(HttpAheadUnread, FilesAreCountedAsWastedAndShownAndReadRightLater) {
  list(0);
  for (unsigned f = 0; f < 5; ++f) expect_read(0, f);
  expect_shown_as_wasted(*mount_, kBytes, kBound);
  for (unsigned f = 0; f < kFiles; ++f) expect_read(0, f);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

}  // namespace
}  // namespace netfs::test
