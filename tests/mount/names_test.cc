// Goal: names outlive the daemon: a tree that was listed before lists from the cache after a
// remount, as far as the mount's policy believes it, and what changed is seen.  Method: OpenSSH's
// own server, which is gone while the tree is listed again.

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr int kDirectories = 30;

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// As find -ls shows it, and the numbers of the files.
std::string describe(const std::string& directory, const std::string& shown = "") {
  std::vector<std::string> names;
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) return shown + ": " + std::to_string(errno) + "\n";
  while (const dirent* entry = ::readdir(stream)) names.emplace_back(entry->d_name);
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const std::string path = directory + "/" + name;
    struct stat status {};
    text += shown + "/" + name;
    if (::lstat(path.c_str(), &status) != 0) {
      text += ": " + std::to_string(errno) + "\n";
      continue;
    }
    text += " " + std::to_string(status.st_ino) + " " + std::to_string(status.st_mode) + " " +
            std::to_string(S_ISDIR(status.st_mode) ? 0 : status.st_size) + " " +
            std::to_string(status.st_mtim.tv_sec) + "\n";
    if (S_ISDIR(status.st_mode)) text += describe(path, shown + "/" + name);
  }
  return text;
}

class KeptNames : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(program("sshd"));
    source_ = temp_.make_dir("source");
    for (int i = 0; i < kDirectories; ++i) {
      const std::string directory = source_ + "/d" + std::to_string(100 + i) + "/deep";
      std::filesystem::create_directories(directory);
      for (int j = 0; j < 4; ++j) {
        write_file(directory + "/f" + std::to_string(j), "text", std::chrono::hours(2));
      }
    }
    sshd_ = std::make_unique<TestSshd>(temp_);
    ASSERT_TRUE(sshd_->ready()) << sshd_->log();
  }

  void mount_it(std::vector<std::string> more) {
    NetfsMount::Options options{
        .url = sshd_->url(source_), .cache_dir = temp_ / "cache", .more = std::move(more)};
    for (const std::string& word : sshd_->mount_options()) options.more.push_back(word);
    mount_.reset();
    mount_ = std::make_unique<NetfsMount>(options, temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  [[nodiscard]] std::string shown() const { return describe(mount_->path()); }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<TestSshd> sshd_;
  std::unique_ptr<NetfsMount> mount_;
};

TEST_F(KeptNames, AnUnchangedTreeListsFromTheCacheAfterARemount) {
  mount_it({"--metadata-ttl", "1h"});
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  const std::string before = shown();
  EXPECT_GT(std::count(before.begin(), before.end(), '\n'), kDirectories * 6 - 1);
  ASSERT_TRUE(mount_->unmount());
  mount_it({"--metadata-ttl", "1h"});
  sshd_->stop();
  EXPECT_EQ(shown(), before);
  EXPECT_EQ(mount_->status_number("listings"), 0);
  EXPECT_EQ(mount_->status_number("stored_listings"), 1 + 2 * kDirectories);
  ASSERT_TRUE(sshd_->start_again());
}

TEST_F(KeptNames, WhatChangedMeanwhileIsSeenWhenTheTimeIsOver) {
  mount_it({"--metadata-ttl", "2s", "--on-error", "stale"});
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  (void)shown();
  ASSERT_TRUE(mount_->unmount());
  write_file(source_ + "/d100/deep/f0", "another text", std::chrono::hours(1));
  write_file(source_ + "/d101/deep/new", "text", std::chrono::hours(1));
  std::filesystem::remove_all(source_ + "/d102");
  mount_it({"--metadata-ttl", "2s", "--on-error", "stale"});
  ASSERT_TRUE(wait_until(
      [&] {
        struct stat status {};
        return ::stat((mount_->path() + "/d100/deep/f0").c_str(), &status) == 0 &&
               status.st_size == 12 &&
               ::access((mount_->path() + "/d101/deep/new").c_str(), F_OK) == 0 &&
               ::access((mount_->path() + "/d102").c_str(), F_OK) != 0;
      },
      std::chrono::seconds(30)));
}

// In one process, whose cache has the names of the old one.
TEST_F(KeptNames, ADirectoryThatTookThePlaceOfAnotherShowsNothingOfIt) {
  const std::string base = temp_.make_dir("local");
  std::filesystem::create_directories(base + "/d");
  write_file(base + "/d/old", "text", std::chrono::hours(2));
  mount_ = std::make_unique<NetfsMount>(
      NetfsMount::Options{.url = "file://" + base,
                          .cache_dir = temp_ / "cache",
                          .more = {"--metadata-ttl", "4s", "--revalidate=behind"}},
      temp_);
  ASSERT_TRUE(mount_->ready()) << mount_->log();
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  EXPECT_EQ(names_in(mount_->path()), std::vector<std::string>{"d"});
  EXPECT_EQ(names_in(mount_->path() + "/d"), std::vector<std::string>{"old"});
  std::filesystem::rename(base + "/d", base + "/other");
  std::filesystem::create_directories(base + "/d");
  write_file(base + "/d/new", "text", std::chrono::hours(2));
  ASSERT_TRUE(
      wait_until([&] { return names_in(mount_->path()).size() == 2; }, std::chrono::seconds(30)));
  EXPECT_EQ(names_in(mount_->path() + "/d"), std::vector<std::string>{"new"});
  struct stat status {};
  EXPECT_NE(::stat((mount_->path() + "/d/old").c_str(), &status), 0);
  EXPECT_EQ(names_in(mount_->path() + "/other"), std::vector<std::string>{"old"});
}

TEST_F(KeptNames, WhatIsDroppedIsForgottenThereToo) {
  mount_it({"--immutable"});
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  const std::string before = shown();
  ASSERT_TRUE(mount_->unmount());
  write_file(source_ + "/d101/deep/new", "text", std::chrono::hours(1));
  mount_it({"--immutable"});
  EXPECT_EQ(shown(), before) << "it was said never to change";
  const Finished dropped = run(
      {netfs_binary(), "cache", "drop", mount_->path() + "/d101", "--cache-dir", temp_ / "cache"},
      std::chrono::seconds(60));
  ASSERT_EQ(dropped.status, 0) << dropped.output;
  ASSERT_TRUE(mount_->unmount());
  mount_it({"--immutable"});
  EXPECT_EQ(::access((mount_->path() + "/d101/deep/new").c_str(), F_OK), 0);
}

// What is changed through a mount would have to be changed in the store first.
TEST_F(KeptNames, AMountThatWritesKeepsNone) {
  for (int i = 0; i < 2; ++i) {
    mount_it({"--metadata-ttl", "1h", "--write", "close"});
    const Watchdog watchdog(kBound, [&] { mount_->abort(); });
    (void)shown();
    EXPECT_EQ(mount_->status_number("stored_listings"), 0);
    ASSERT_TRUE(mount_->unmount());
  }
}

// What a mount that only reads has left there is older than what one that writes did since.
TEST_F(KeptNames, WhatWasWrittenThroughAMountOfOursIsNotHidden) {
  const std::string base = temp_.make_dir("local");
  std::filesystem::create_directories(base + "/d");
  write_file(base + "/d/f", "text", std::chrono::hours(2));
  for (const std::string reader : {"--metadata-ttl=1h", "--immutable"}) {
    const auto mount_local = [&](const std::string& how) {
      mount_.reset();
      mount_ = std::make_unique<NetfsMount>(
          NetfsMount::Options{.url = "file://" + base, .cache_dir = temp_ / "cache", .more = {how}},
          temp_);
      ASSERT_TRUE(mount_->ready()) << mount_->log();
    };
    const std::string name = "new" + reader;
    mount_local(reader);
    EXPECT_EQ(names_in(mount_->path()), std::vector<std::string>{"d"});
    EXPECT_EQ(::access((mount_->path() + "/d/" + name).c_str(), F_OK), -1);
    (void)names_in(mount_->path() + "/d");
    ASSERT_TRUE(mount_->unmount());
    mount_local("--write=through");
    write_file(mount_->path() + "/d/" + name, "text", std::chrono::hours(1));
    write_file(mount_->path() + "/d/f", "text of " + reader, std::chrono::hours(1));
    ASSERT_TRUE(mount_->unmount());
    mount_local(reader);
    const std::vector<std::string> names = names_in(mount_->path() + "/d");
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1);
    struct stat status {};
    EXPECT_EQ(::stat((mount_->path() + "/d/f").c_str(), &status), 0);
    EXPECT_EQ(status.st_size, static_cast<off_t>(8 + reader.size()));
    ASSERT_TRUE(mount_->unmount());
  }
}

// What a watch was told so far: kinds and names.
std::set<std::pair<uint32_t, std::string>> events_of(const UniqueFd& watch) {
  std::set<std::pair<uint32_t, std::string>> events;
  alignas(inotify_event) char buffer[16384];
  for (ssize_t n = 0; (n = ::read(watch.get(), buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      events.emplace(event->mask, event->len > 0 ? event->name : "");
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
  }
  return events;
}

UniqueFd watch_for(const std::string& path, uint32_t kinds) {
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  EXPECT_GE(::inotify_add_watch(watch.get(), path.c_str(), kinds), 0) << path;
  return watch;
}

// inotify is the kernel's own: it knows of what goes through the mount.
TEST_F(KeptNames, WatchersHearOfWhatIsDoneThroughTheMountAndOfNothingElse) {
  mount_it({"--metadata-ttl", "1s", "--write", "through"});
  const Watchdog watchdog(kBound, [&] { mount_->abort(); });
  const std::string directory = mount_->path() + "/d100";
  const std::string theirs = directory + "/deep/f0";
  ASSERT_EQ(::access(theirs.c_str(), F_OK), 0);
  const uint32_t changes = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVE |
                           IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF;
  const UniqueFd watch = watch_for(directory, changes);
  const UniqueFd of_file = watch_for(theirs, changes);
  write_file(source_ + "/d100/foreign", "text", std::chrono::hours(1));
  write_file(source_ + "/d100/deep/f0", "another text", std::chrono::hours(1));
  EXPECT_TRUE(wait_until(
      [&] {
        struct stat status {};
        return ::access((directory + "/foreign").c_str(), F_OK) == 0 &&
               ::stat(theirs.c_str(), &status) == 0 && status.st_size == 12;
      },
      std::chrono::seconds(30)));
  std::filesystem::remove(source_ + "/d100/foreign");
  EXPECT_TRUE(wait_until([&] { return ::access((directory + "/foreign").c_str(), F_OK) != 0; },
                         std::chrono::seconds(30)));
  EXPECT_TRUE(events_of(watch).empty()) << "all of it is seen, and no event came";
  EXPECT_TRUE(events_of(of_file).empty());
  {
    const UniqueFd own(::open((directory + "/own").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_TRUE(own);
    ASSERT_EQ(::write(own.get(), "text", 4), 4);
    ASSERT_EQ(::fchmod(own.get(), 0600), 0);
  }
  ASSERT_EQ(::rename((directory + "/own").c_str(), (directory + "/moved").c_str()), 0);
  ASSERT_EQ(::unlink((directory + "/moved").c_str()), 0);
  ASSERT_EQ(::mkdir((directory + "/made").c_str(), 0755), 0);
  ASSERT_EQ(::rmdir((directory + "/made").c_str()), 0);
  const std::set<std::pair<uint32_t, std::string>> expected = {{IN_CREATE, "own"},
                                                               {IN_MODIFY, "own"},
                                                               {IN_ATTRIB, "own"},
                                                               {IN_CLOSE_WRITE, "own"},
                                                               {IN_MOVED_FROM, "own"},
                                                               {IN_MOVED_TO, "moved"},
                                                               {IN_DELETE, "moved"},
                                                               {IN_CREATE | IN_ISDIR, "made"},
                                                               {IN_DELETE | IN_ISDIR, "made"}};
  EXPECT_TRUE(events_of(watch) == expected);
}

}  // namespace
}  // namespace netfs::test
