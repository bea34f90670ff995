// Goal: others who change the origin, and an origin that will not or cannot be changed: the right
// bytes, the right errno, in bounded time.

#include <algorithm>
#include <sys/mman.h>
#include <sys/mount.h>

#include "base/kill_process.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/loop_image.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

TEST_P(Write, TwoMountsOfOneOriginSeeEachOtherCloseToOpen) {
  mount_it({"--metadata-ttl", "0s"});
  const auto other = mount_of(source_, {how(), "--metadata-ttl", "0s"}, "other");
  ASSERT_TRUE(other->ready());
  for (int round = 0; round < 20; ++round) {
    // Another size each time: an origin may know seconds only.
    const std::string bytes = pattern(11, static_cast<uint64_t>(round), 10'000 + round * 7);
    const std::string& writer = round % 2 == 0 ? mount_->path() : other->path();
    const std::string& reader = round % 2 == 0 ? other->path() : mount_->path();
    ASSERT_EQ(put(writer + "/shared", bytes), 0);
    settle(round % 2 == 0 ? *mount_ : *other);
    EXPECT_TRUE(whole(reader + "/shared") == bytes) << round;
    EXPECT_TRUE(whole(writer + "/shared") == bytes) << round;
  }
  ASSERT_EQ(::rename(here("shared").c_str(), here("renamed").c_str()), 0);
  settle();
  EXPECT_EQ(code(::access((other->path() + "/shared").c_str(), F_OK)), ENOENT);
  EXPECT_EQ(list_names(other->path()).value(), std::vector<std::string>{"renamed"});
  ASSERT_EQ(::unlink((other->path() + "/renamed").c_str()), 0);
  settle(*other);
  EXPECT_EQ(code(::open(here("renamed").c_str(), O_RDONLY)), ENOENT);
}

TEST_P(Write, AForeignChangeOfAFileOpenForWritingIsSeen) {
  write_file(there("a"), "0123456789", std::chrono::hours(2));
  mount_it({"--metadata-ttl", "0s"});
  const UniqueFd fd = open_file(here("a"), O_RDWR);
  ASSERT_TRUE(fd);
  EXPECT_EQ(bytes_at(fd.get(), 0, 100), "0123456789");
  {
    const UniqueFd foreign = open_file(there("a"), O_WRONLY);
    ASSERT_EQ(::pwrite(foreign.get(), "ABC", 3, 4), 3);
  }
  ASSERT_EQ(::pwrite(fd.get(), "xy", 2, 0), 2);
  if (is_back()) {
    EXPECT_NE(sync_it(), 0) << "ours is of the version that was opened: a conflict";
    EXPECT_EQ(whole(there("a")), "0123ABC789");
    EXPECT_EQ(bytes_at(fd.get(), 0, 100), "xy23ABC789");
    return;
  }
  EXPECT_TRUE(wait_until([&] { return bytes_at(fd.get(), 0, 100) == "xy23ABC789"; },
                         std::chrono::seconds(20)))
      << bytes_at(fd.get(), 0, 100);
  EXPECT_EQ(whole(there("a")), "xy23ABC789");
}

TEST_P(Write, AReadOnlyOriginSaysSo) {
  write_file(there("a"), "old");
  const std::string bound = temp_.make_dir("bound");
  ASSERT_EQ(::mount(source_.c_str(), bound.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(::mount(nullptr, bound.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
  mount_ = mount_of(bound, {how()});
  EXPECT_EQ(put(here("a"), "x", 0), EROFS);
  const int told = is_refused_at_once() ? EROFS : 0;
  EXPECT_EQ(put(here("new"), "x"), told);
  EXPECT_EQ(code(::mkdir(here("d").c_str(), 0755)), told);
  EXPECT_EQ(code(::chmod(here("a").c_str(), 0600)), told);
  EXPECT_EQ(code(::unlink(here("a").c_str())), told);
  if (!is_refused_at_once()) {
    EXPECT_NE(sync_it(), 0);
    for (const char* name : {"'new'", "'d'", "'a'"}) {
      EXPECT_NE(last_output_.find(name), std::string::npos) << name << " in " << last_output_;
    }
    EXPECT_GE(mount_->status_number("changes_set_aside"), 4);
    EXPECT_EQ(mount_->status_number("pending_changes"), 0);
  }
  // By back what is there shows as soon as that is known.
  EXPECT_TRUE(
      wait_until([&] { return list_names(here("")).value() == std::vector<std::string>{"a"}; },
                 std::chrono::seconds(20)));
  EXPECT_EQ(whole(here("a")), "old");
  EXPECT_EQ(stat_of(here("a")).st_mode & 0777, 0644U);
  mount_.reset();
  ::umount2(bound.c_str(), MNT_DETACH);
}

TEST_P(Write, AFullDiskIsEnospcAndWhatWasAcceptedIsThere) {
  if (!is_refused_at_once())
    GTEST_SKIP() << "SKIPPED: by back WriteBack.AFullOriginMakesTheUploadWaitUntilThereIsRoom";
  NETFS_TEST_NEEDS(loop_devices());
  LoopImage disk(temp_, "ext4", 16);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  mount_ = mount_of(disk.path(), {how()});
  const std::string bytes = pattern(12, 0, 40 << 20);
  uint64_t accepted = 0;
  int error = 0;
  uint64_t promised = 0;  // by a sync, where a write alone promises nothing
  {
    const UniqueFd fd = open_file(here("big"), O_WRONLY | O_CREAT);
    ASSERT_TRUE(fd) << strerror(errno);
    while (error == 0 && accepted < bytes.size()) {
      const ssize_t n = ::write(fd.get(), bytes.data() + accepted,
                                std::min<size_t>(1 << 20, bytes.size() - accepted));
      if (n < 0) error = errno;
      if (n > 0) accepted += static_cast<uint64_t>(n);
      if (keeps_writes() && error == 0 && ::fsync(fd.get()) != 0) error = errno;
      if (error == 0) promised = accepted;
    }
  }
  if (!keeps_writes()) promised = accepted;
  EXPECT_EQ(error, ENOSPC) << strerror(error);
  EXPECT_GT(promised, 1U << 20);
  EXPECT_TRUE(whole(disk.path() + "/big").substr(0, promised) == bytes.substr(0, promised));
  EXPECT_EQ(code(::unlink(here("big").c_str())), 0);
  EXPECT_TRUE(
      wait_until([&] { return put(here("small"), "fits") == 0; }, std::chrono::seconds(30)));
  mount_.reset();
}

TEST_P(Write, WhatChangedUnderneathGivesTheErrnoOfALocalUser) {
  write_file(there("becomes-directory"), "x");
  write_file(there("goes"), "x");
  mount_it({"--metadata-ttl", "10s"});
  EXPECT_EQ(whole(here("becomes-directory")), "x");
  EXPECT_EQ(whole(here("goes")), "x");
  ASSERT_EQ(::unlink(there("becomes-directory").c_str()), 0);
  ASSERT_EQ(::mkdir(there("becomes-directory").c_str(), 0755), 0);
  ASSERT_EQ(::unlink(there("goes").c_str()), 0);
  EXPECT_EQ(put(here("becomes-directory"), "y", 0), EISDIR);
  EXPECT_EQ(put(here("goes"), "y", 0), ENOENT);
  EXPECT_EQ(put(here("goes"), "again"), 0);
  EXPECT_EQ(whole(there("goes")), "again");
  EXPECT_EQ(code(::unlink(here("becomes-directory").c_str())), EISDIR);
}

// A local folder does not die.
INSTANTIATE_TEST_SUITE_P(Origins, WriteRemote, testing::Values("sftp", "sftp_close"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(WriteRemote, AnOriginThatDiesInMidWriteCostsNoMoreThanTheTimeout) {
  mount_it({"--timeout", "4s"});
  const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  const std::string bytes = pattern(13, 0, 1 << 20);
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), 1 << 20);
  ASSERT_EQ(::fsync(fd.get()), 0) << strerror(errno);
  sshd_->stop();
  const MonoTime began = Clock::system().now();
  if (keeps_writes()) {
    (void)::pwrite(fd.get(), bytes.data(), bytes.size(), 1 << 20);
    EXPECT_LT(::fsync(fd.get()), 0);
  } else {
    EXPECT_LT(::pwrite(fd.get(), bytes.data(), bytes.size(), 1 << 20), 0);
  }
  EXPECT_TRUE(errno == ETIMEDOUT || errno == ENOTCONN) << strerror(errno);
  const int made = code(::mkdir(here("d").c_str(), 0755));
  EXPECT_TRUE(made == ETIMEDOUT || made == ENOTCONN) << strerror(made);
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(30));
  ASSERT_TRUE(sshd_->start_again()) << sshd_->log();
  // The same descriptor goes on: the file is opened again by its name, once there is a new login.
  const auto is_written = [&] {
    return ::pwrite(fd.get(), bytes.data(), bytes.size(), 1 << 20) == 1 << 20 &&
           ::fsync(fd.get()) == 0;
  };
  EXPECT_TRUE(wait_until(is_written, std::chrono::seconds(60))) << strerror(errno);
  EXPECT_TRUE(whole(there("a")) == bytes + bytes);
}

// What was stored into a mapping after the last close: there is nobody left who could be told.
TEST_P(WriteRemote, AnUnmountWhileTheOriginIsAwaySaysWhatIsLost) {
  const std::string old = pattern(14, 0, 100'000);
  write_file(there("a"), old);
  mount_it({"--timeout", "4s"});
  void* map = MAP_FAILED;
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    map = ::mmap(nullptr, old.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
  }
  std::memcpy(static_cast<char*>(map) + 5000, "stored", 6);
  sshd_->stop();
  EXPECT_EQ(::munmap(map, old.size()), 0);
  const Finished said = umount_it();
  EXPECT_EQ(said.status, 0) << "it is unmounted: " << said.output;
  EXPECT_FALSE(mount_->mounted());
  EXPECT_TRUE(mount_->unmount()) << "its processes end";
  if (keeps_writes()) {
    EXPECT_NE(said.output.find("and lost since its worker started: 4.0 KiB"), std::string::npos)
        << said.output;
    EXPECT_EQ(std::count(said.output.begin(), said.output.end(), '\n'), 1) << said.output;
    EXPECT_NE(mount_->log().find("a: 4096 bytes were not written"), std::string::npos)
        << mount_->log();
  } else {
    // By through it was never answered: only the kernel has heard of it.
    EXPECT_EQ(said.output, "");
    EXPECT_NE(mount_->log().find("4096 bytes that were stored into mappings were not written, the "
                                 "last of them of a: "),
              std::string::npos)
        << mount_->log();
  }
  ASSERT_TRUE(sshd_->start_again()) << sshd_->log();
  mount_it();
  EXPECT_TRUE(whole(here("a")) == old) << "what is there is shown";
  EXPECT_TRUE(whole(there("a")) == old);
}

// The cache forgets what it has of a file after the change of it, so that no write waits for its
// disk: here the disk stands still until the worker is dead.  The new file has the size and the
// time of the old one, which is all that SFTP tells them apart by.
TEST_P(WriteRemote, WhatACrashKeptTheCacheFromForgettingIsNeverShown) {
  NETFS_TEST_NEEDS(loop_devices());
  const LoopImage disk(temp_, "ext4", 128);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  const std::string before = pattern(21, 0, 300'000);
  const std::string after = pattern(22, 0, 300'000);
  const timespec times[2] = {{1'500'000'000, 0}, {1'500'000'000, 0}};
  write_file(there("a"), before);
  ASSERT_EQ(::utimensat(AT_FDCWD, there("a").c_str(), times, 0), 0);
  NetfsMount::Options options{
      .url = sshd_->url(source_), .cache_dir = disk.path() + "/cache", .more = {how()}};
  for (const std::string& word : sshd_->mount_options()) options.more.push_back(word);
  mount_ = std::make_unique<NetfsMount>(options, temp_);
  ASSERT_TRUE(mount_->ready()) << mount_->log();
  ASSERT_TRUE(whole(here("a")) == before);
  ASSERT_TRUE(wait_until([&] { return mount_->status_number("stored_blocks") >= 5; },
                         std::chrono::seconds(60)))
      << mount_->status();
  const pid_t first = mount_->worker();
  Frozen frozen(disk.path(), std::chrono::seconds(60));
  ASSERT_TRUE(frozen.frozen());
  ASSERT_EQ(put(here("a"), after, 0), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, here("a").c_str(), times, 0), 0);
  ASSERT_EQ(stat_of(there("a")).st_mtim.tv_sec, 1'500'000'000);
  kill_process(first, SIGKILL);
  EXPECT_TRUE(frozen.thaw());
  ASSERT_TRUE(wait_until([&] { return mount_->worker() > 0 && mount_->worker() != first; },
                         std::chrono::seconds(60)));
  EXPECT_TRUE(whole(here("a")) == after);
  drop_pages(here("a"));
  EXPECT_TRUE(whole(here("a")) == after);
}

}  // namespace
}  // namespace netfs::test
