// Goal: an NFS server that is killed, stands still, is cut off, or forgets its connections, in the
// middle of reads and writes, and one whose disk is full: no call outlasts its deadline by far, no
// byte is wrong, and what a mount was told is kept is kept.  Method: Ganesha from
// tests/servers/nfs.sh, on another host of our own where the network is what fails.

#include <atomic>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <string_view>
#include <unistd.h>

#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/far_host.h"
#include "tests/support/loop_image.h"
#include "tests/support/outside.h"
#include "tests/support/test_nfs.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr off_t kMega = 1 << 20;

enum class Trouble { kKilled, kPaused, kVanished, kUnplugged, kHalfOpen };

struct NfsTroubleCase {
  const char* how;
  Trouble trouble;
  const char* name;

  friend std::ostream& operator<<(std::ostream& out, const NfsTroubleCase& self) {
    return out << self.name << ", by " << self.how;
  }
};

// A mount of what Ganesha exports.
class NfsInTrouble {
 protected:
  void start(TestNfs::Place place, const std::string& tree) {
    nfs_ = std::make_unique<TestNfs>(temp_, std::move(place));
    ASSERT_TRUE(nfs_->ready()) << nfs_->log();
    nfs_->ask(outside_);
    tree_ = tree;
  }
  void mount_it(const std::string& how, const std::string& timeout) {
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{.url = nfs_->url(tree_),
                            .cache_dir = temp_ / "cache",
                            .more = {"--write", how, "--timeout", timeout}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  // By back: all of it is at the server.
  void settle(const std::string& how) {
    if (how != "back") return;
    const Finished synced =
        run({NETFS_TEST_BINARY, "sync", mount_->path(), "--timeout", "60s"}, kPatience * 2);
    EXPECT_EQ(synced.status, 0) << synced.output;
  }
  [[nodiscard]] std::string here(const std::string& name) const {
    return mount_->path() + "/" + name;
  }
  [[nodiscard]] std::string there(const std::string& name) const { return tree_ + "/" + name; }

  TempDir temp_;
  Outside outside_{temp_};
  std::unique_ptr<FarHost> far_;
  std::string tree_;
  std::unique_ptr<TestNfs> nfs_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound * 2, [this] { abort_mount(temp_ / "mnt"); }};
};

class NfsTrouble : public NfsInTrouble, public testing::TestWithParam<NfsTroubleCase> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(TestNfs::needs());
    TestNfs::Place place;
    if (is_of_the_network()) {
      NETFS_TEST_NEEDS(program("ip"));
      far_ = std::make_unique<FarHost>();
      NETFS_TEST_NEEDS(far_->works() ? "" : "network name spaces");
      ASSERT_TRUE(far_->forget_orphans());
      far_->ask(outside_);
      place = {.name_space = far_->name_space(), .address = far_->address()};
    }
    start(place, temp_.make_dir("tree"));
  }
  static bool is_of_the_network() {
    return GetParam().trouble != Trouble::kKilled && GetParam().trouble != Trouble::kPaused;
  }
  static bool is(std::string_view how) { return GetParam().how == how; }

  void begin() {
    switch (GetParam().trouble) {
      case Trouble::kKilled:
        return nfs_->crash();
      case Trouble::kPaused:
        return nfs_->pause();
      case Trouble::kVanished:
        ASSERT_TRUE(far_->vanish());
        return;
      case Trouble::kUnplugged:
        ASSERT_TRUE(far_->unplug());
        return;
      case Trouble::kHalfOpen:
        // Its host knows nothing of the connections any more, and could not say so.
        ASSERT_TRUE(far_->vanish());
        nfs_->crash();
        ASSERT_TRUE(wait_until([&] { return far_->has_no_connection(); }, kPatience));
        return;
    }
  }
  void end() {
    const Trouble trouble = GetParam().trouble;
    if (trouble == Trouble::kKilled || trouble == Trouble::kHalfOpen) {
      ASSERT_TRUE(nfs_->start_again()) << nfs_->log();
    }
    if (trouble == Trouble::kPaused) nfs_->resume();
    if (trouble == Trouble::kUnplugged) {
      ASSERT_TRUE(far_->plug_in());
    } else if (is_of_the_network()) {
      ASSERT_TRUE(far_->come_back());
    }
  }

  // Reads a piece that must be of the file, if it is read at all: an errno.
  static int read_piece(const UniqueFd& fd, off_t at, const std::string& file) {
    std::string piece(64 << 10, '\0');
    const ssize_t n = ::pread(fd.get(), piece.data(), piece.size(), at);
    if (n < 0) return errno;
    EXPECT_TRUE(piece.substr(0, static_cast<size_t>(n)) ==
                file.substr(static_cast<size_t>(at), static_cast<size_t>(n)))
        << at;
    return n == static_cast<ssize_t>(piece.size()) ? 0 : EPIPE;
  }
  static int write_piece(const UniqueFd& fd, off_t at, std::string_view piece) {
    const ssize_t n = ::pwrite(fd.get(), piece.data(), piece.size(), at);
    if (n < 0) return errno;
    return n == static_cast<ssize_t>(piece.size()) ? 0 : EPIPE;
  }
  static bool says_that_it_is_away(int error) { return error == ETIMEDOUT || error == ENOTCONN; }
};

std::vector<NfsTroubleCase> nfs_trouble_cases() {
  std::vector<NfsTroubleCase> cases;
  for (const char* how : {"through", "close", "back"}) {
    for (const auto& [trouble, name] : {std::pair{Trouble::kKilled, "killed"},
                                        {Trouble::kPaused, "paused"},
                                        {Trouble::kVanished, "vanished"},
                                        {Trouble::kUnplugged, "unplugged"},
                                        {Trouble::kHalfOpen, "half_open"}}) {
      cases.push_back({how, trouble, name});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Ways, NfsTrouble, testing::ValuesIn(nfs_trouble_cases()),
                         [](const auto& each) {
                           return std::string(each.param.name) + "_" + each.param.how;
                         });

TEST_P(NfsTrouble, WhatIsUnderWayEndsInTimeAndGoesOnWhenTheServerIsBack) {
  const std::string old = pattern(1, 0, 20 * kMega);
  const std::string bytes = pattern(2, 0, kMega);
  write_file(there("old"), old);
  ASSERT_NO_FATAL_FAILURE(mount_it(GetParam().how, "3s"));
  UniqueFd reading = open_file(here("old"), O_RDONLY);
  UniqueFd writing = open_file(here("new"), O_RDWR | O_CREAT);
  ASSERT_TRUE(reading && writing) << strerror(errno);
  EXPECT_EQ(read_piece(reading, 0, old), 0);
  EXPECT_EQ(write_piece(writing, 0, bytes), 0);
  ASSERT_EQ(code(::fsync(writing.get())), 0) << strerror(errno);
  settle(GetParam().how);
  ASSERT_NO_FATAL_FAILURE(begin());
  int read = 0;
  int wrote = 0;
  int found = 0;
  std::atomic<int> ended = 0;
  sync::Thread reader("test-reader", [&] {
    read = read_piece(reading, 15 * kMega, old);
    ++ended;
  });
  sync::Thread writer("test-writer", [&] {
    wrote = write_piece(writing, kMega, bytes);
    if (const int synced = code(::fsync(writing.get())); wrote == 0) wrote = synced;
    ++ended;
  });
  sync::Thread finder("test-finder", [&] {
    found = code(::access(here("absent").c_str(), F_OK));
    ++ended;
  });
  EXPECT_TRUE(wait_until([&] { return ended == 3; }, kPatience)) << "a call hangs";
  if (ended != 3) mount_->abort();
  reader.join();
  writer.join();
  finder.join();
  EXPECT_TRUE(says_that_it_is_away(read)) << strerror(read);
  EXPECT_TRUE(says_that_it_is_away(found)) << strerror(found);
  EXPECT_TRUE(is("back") ? wrote == 0 : says_that_it_is_away(wrote)) << strerror(wrote);
  ASSERT_NO_FATAL_FAILURE(end());
  EXPECT_TRUE(wait_until([&] { return read_piece(reading, 15 * kMega, old) == 0; }, kPatience));
  const auto is_written = [&] {
    return write_piece(writing, kMega, bytes) == 0 && ::fsync(writing.get()) == 0;
  };
  EXPECT_TRUE(wait_until(is_written, kPatience)) << strerror(errno);
  settle(GetParam().how);
  EXPECT_TRUE(whole(there("new")) == bytes + bytes);
  EXPECT_TRUE(whole(here("new")) == bytes + bytes);
  reading.reset();
  writing.reset();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_P(NfsTrouble, WhoReadsAndWritesDoesNotHearOfAServerThatWasAwayForAMoment) {
  constexpr int kPieces = 64;
  const std::string old = pattern(3, 0, kPieces * kMega);
  const std::string bytes = pattern(4, 0, kPieces * kMega / 4);
  write_file(there("old"), old);
  ASSERT_NO_FATAL_FAILURE(mount_it(GetParam().how, "60s"));
  UniqueFd reading = open_file(here("old"), O_RDONLY);
  UniqueFd writing = open_file(here("new"), O_RDWR | O_CREAT);
  ASSERT_TRUE(reading && writing) << strerror(errno);
  // Neither is far ahead of the other, so that both are in the middle.
  std::atomic<int> read = 0;
  std::atomic<int> wrote = 0;
  const auto keep_pace = [](const std::atomic<int>& mine, const std::atomic<int>& its) {
    (void)wait_until([&] { return mine <= its + 4; }, kPatience);
  };
  sync::Thread reader("test-reader", [&] {
    for (; read < kPieces; ++read) {
      keep_pace(read, wrote);
      // In no order: nothing is read ahead.
      EXPECT_EQ(read_piece(reading, (read * 37 % kPieces) * kMega, old), 0) << read;
    }
  });
  sync::Thread writer("test-writer", [&] {
    const size_t length = kMega / 4;
    for (; wrote < kPieces; ++wrote) {
      keep_pace(wrote, read);
      const size_t at = static_cast<size_t>(wrote) * length;
      EXPECT_EQ(
          write_piece(writing, static_cast<off_t>(at), std::string_view(bytes).substr(at, length)),
          0)
          << wrote;
      if (wrote % 8 == 7) {
        EXPECT_EQ(code(::fsync(writing.get())), 0) << wrote << ": " << strerror(errno);
      }
    }
  });
  EXPECT_TRUE(wait_until([&] { return read >= kPieces / 4 && wrote >= kPieces / 4; }, kPatience));
  begin();
  // Until whoever waits for it stands still.
  int seen = -1;
  MonoTime since{};
  EXPECT_TRUE(wait_until(
      [&] {
        if (const int now = read; now != seen) {
          seen = now;
          since = Clock::system().now();
        }
        return Clock::system().now() - since > std::chrono::milliseconds(500);
      },
      kPatience));
  EXPECT_LT(seen, kPieces) << "it was not in the middle";
  end();
  reader.join();
  writer.join();
  EXPECT_EQ(code(::fsync(writing.get())), 0) << strerror(errno);
  settle(GetParam().how);
  EXPECT_TRUE(whole(there("new")) == bytes);
  EXPECT_TRUE(same_bytes(here("new"), there("new")));
  EXPECT_TRUE(same_bytes(here("old"), there("old")));
  reading.reset();
  writing.reset();
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

class NfsFullDisk : public NfsInTrouble, public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(loop_devices());
    NETFS_TEST_NEEDS(TestNfs::needs());
    disk_ = std::make_unique<LoopImage>(temp_, "ext4", 16);
    ASSERT_TRUE(disk_->ready()) << disk_->trouble();
    start({.exported = disk_->path()}, disk_->path());
  }
  void TearDown() override {
    mount_.reset();
    nfs_.reset();
  }
  std::unique_ptr<LoopImage> disk_;
};

INSTANTIATE_TEST_SUITE_P(Ways, NfsFullDisk, testing::Values("through", "close", "back"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(NfsFullDisk, IsToldOrWaitedForAndWhatWasPromisedIsThere) {
  const bool back = std::string_view(GetParam()) == "back";
  // Nobody can make room through the mount where what is to be removed waits behind what is to
  // come.
  if (back) write_file(there("filler"), std::string(9 * kMega, 'f'));
  ASSERT_NO_FATAL_FAILURE(mount_it(GetParam(), "20s"));
  const std::string bytes = pattern(5, 0, back ? 8 * kMega : 24 * kMega);
  uint64_t accepted = 0;
  uint64_t promised = 0;
  int error = 0;
  {
    const UniqueFd fd = open_file(here("big"), O_WRONLY | O_CREAT);
    ASSERT_TRUE(fd) << strerror(errno);
    while (error == 0 && accepted < bytes.size()) {
      const ssize_t n = ::write(fd.get(), bytes.data() + accepted, kMega / 2);
      if (n < 0) error = errno;
      if (n > 0) accepted += static_cast<uint64_t>(n);
      if (error == 0 && ::fsync(fd.get()) != 0) error = errno;
      if (error == 0) promised = accepted;
    }
  }
  if (back) {
    EXPECT_EQ(error, 0) << "the journal has room: " << strerror(error);
    const auto says_so = [&] {
      const nlohmann::json journal = status_object(mount_->status(), "journal");
      return journal.is_object() &&
             journal.value("upload_error", "").find(strerror(ENOSPC)) != std::string::npos;
    };
    EXPECT_TRUE(wait_until(says_so, kPatience)) << mount_->status();
    EXPECT_TRUE(whole(here("big")) == bytes) << "and is seen meanwhile";
    std::filesystem::remove(there("filler"));
    settle("back");
    EXPECT_TRUE(whole(there("big")) == bytes);
  } else {
    EXPECT_EQ(error, ENOSPC) << strerror(error);
    EXPECT_GT(promised, 1U << 20);
    EXPECT_TRUE(whole(there("big")).substr(0, promised) == bytes.substr(0, promised));
    EXPECT_EQ(code(::unlink(here("big").c_str())), 0);
  }
  EXPECT_TRUE(wait_until([&] { return put(here("small"), "fits") == 0; }, kPatience));
  settle(GetParam());
  EXPECT_EQ(whole(there("small")), "fits");
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

}  // namespace
}  // namespace netfs::test
