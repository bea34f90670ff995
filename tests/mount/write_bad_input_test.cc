// Goal: what may become of a file at its origin between an open and its close: each is told by the
// errno of a local user, shows in a counter of `netfs status`, and loses nothing without a word.

#include <ctime>

#include "tests/mount/write_fixture.h"
#include "tests/support/loop_image.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

TEST_P(Write, PermissionThatGoesAfterTheOpenIsToldAndWhatIsThereIsShown) {
  if (!is_refused_at_once())
    GTEST_SKIP() << "SKIPPED: by back WriteBack.PermissionThatGoesAfterTheOpenSetsTheChangeAside";
  NETFS_TEST_NEEDS(loop_devices());
  LoopImage disk(temp_, "ext4", 16);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  const std::string there = disk.path() + "/a";
  write_file(there, "0123456789");
  mount_ = mount_of(disk.path(), {how()});
  // SFTP has one word for both.
  const int refused = is_sftp() ? EACCES : EPERM;
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    ASSERT_EQ(::pwrite(fd.get(), "ab", 2, 0), 2);
    ASSERT_EQ(::fsync(fd.get()), 0);
    ASSERT_TRUE(set_immutable(there, true)) << strerror(errno);
    const int written = code(::pwrite(fd.get(), "xyz", 3, 4));
    EXPECT_EQ(written, keeps_writes() ? 0 : refused);
    EXPECT_EQ(code(::fsync(fd.get())), keeps_writes() ? refused : 0);
    EXPECT_EQ(mount_->status_number("lost_bytes"), keeps_writes() ? 3 : 0);
    EXPECT_GE(status_object(mount_->status(), "origin_writes")["failed"], 1);
    EXPECT_EQ(code(::ftruncate(fd.get(), 5)), refused);
    EXPECT_GE(status_object(mount_->status(), "changes")["failed"], 1);
    EXPECT_EQ(bytes_at(fd.get(), 0, 100), "ab23456789");
    ASSERT_TRUE(set_immutable(there, false));
    EXPECT_EQ(code(::pwrite(fd.get(), "XYZ", 3, 4)), 0) << "the same descriptor goes on";
    EXPECT_EQ(code(::fsync(fd.get())), 0);
    // And just before the close.
    ASSERT_TRUE(set_immutable(there, true));
    const int last = ::dup(fd.get());
    EXPECT_EQ(code(::pwrite(last, "more", 4, 10)), keeps_writes() ? 0 : refused);
    EXPECT_EQ(code(::close(last)), keeps_writes() ? refused : 0);
    ASSERT_TRUE(set_immutable(there, false));
  }
  EXPECT_EQ(whole(there), "ab23XYZ789");
  EXPECT_EQ(whole(here("a")), "ab23XYZ789");
  mount_.reset();
}

// As one that is cut off from its power before it has written what it took.
TEST_P(Write, WhatTheOriginTookAndForgotIsNotShownAnyMore) {
  const std::string old = pattern(61, 0, 50'000);
  const std::string fresh = pattern(62, 0, 50'000);
  write_file(there("a"), old, std::chrono::hours(2));
  mount_it({"--metadata-ttl", "0s"});
  const auto forget = [&] {
    const UniqueFd foreign = open_file(there("a"), O_WRONLY);
    ASSERT_EQ(::pwrite(foreign.get(), old.data(), old.size(), 0), 50'000);
    set_mtime(there("a"), ::time(nullptr) + 10);
  };
  EXPECT_TRUE(whole(here("a")) == old);
  ASSERT_EQ(put(here("a"), fresh, 0), 0);
  EXPECT_TRUE(whole(here("a")) == fresh);
  forget();
  EXPECT_TRUE(whole(here("a")) == old) << "the next open shows what is there";
  // And under a descriptor: our next write meets it.
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_EQ(::pwrite(fd.get(), fresh.data(), fresh.size(), 0), 50'000);
    ASSERT_EQ(::fsync(fd.get()), 0);
    forget();
    if (is_back()) return;  // a conflict: WriteBack.WhatTheOriginTookAndForgotIsShown...
    ASSERT_EQ(::pwrite(fd.get(), "ours", 4, 10), 4);
    ASSERT_EQ(::fsync(fd.get()), 0);
    std::string want = old;
    want.replace(10, 4, "ours");
    EXPECT_TRUE(wait_until([&] { return bytes_at(fd.get(), 0, want.size()) == want; },
                           std::chrono::seconds(20)));
    EXPECT_TRUE(whole(there("a")) == want);
  }
  EXPECT_GE(mount_->status_number("foreign_changes"), 1);
}

// Its times say of what has just changed that it did so long ago.
TEST_P(Write, AnOriginWhoseClockIsAnHourBehindShowsNoOldBytes) {
  mount_it({"--metadata-ttl", "0s"});
  const time_t behind = ::time(nullptr) - 3600;
  std::string bytes;
  for (int i = 0; i < 12; ++i) {
    // Ours and theirs in turn, all of one length.
    bytes = pattern(63, static_cast<uint64_t>(i), 50'000);
    ASSERT_EQ(put(i % 2 == 0 ? here("a") : there("a"), bytes, O_CREAT), 0) << i;
    set_mtime(there("a"), behind + i);
    EXPECT_TRUE(whole(here("a")) == bytes) << i;
    drop_pages(here("a"));
    EXPECT_TRUE(whole(here("a")) == bytes) << i << " without pages";
  }
  EXPECT_GE(mount_->status_number("versions_changed"), 5);
  ASSERT_TRUE(mount_->unmount());
  mount_it();
  EXPECT_TRUE(whole(here("a")) == bytes);
}

TEST_P(Write, WhatTwoProcessesAppendAtOnceIsAllThereAndWhole) {
  mount_it();
  ASSERT_EQ(put(here("log"), ""), 0);
  EXPECT_EQ(append_by_two(here("log"), there("log"), [this] { settle(); }), "");
  EXPECT_TRUE(same_bytes(here("log"), there("log")));
}

// The origin is back, and has a directory where the file was.
TEST_P(WriteRemote, AFileThatBecameADirectoryWhileTheOriginWasAwayIsNotWrittenInto) {
  mount_it({"--timeout", "30s", "--metadata-ttl", "1s"});
  const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  ASSERT_EQ(::pwrite(fd.get(), "first", 5, 0), 5);
  ASSERT_EQ(::fsync(fd.get()), 0);
  sshd_->stop();
  ASSERT_EQ(::unlink(there("a").c_str()), 0);
  ASSERT_EQ(::mkdir(there("a").c_str(), 0755), 0);
  write_file(there("a/in"), "theirs");
  ASSERT_TRUE(sshd_->start_again()) << sshd_->log();
  int told = code(::pwrite(fd.get(), "second", 6, 5));
  if (keeps_writes()) {
    EXPECT_EQ(told, 0);
    told = code(::fsync(fd.get()));
    EXPECT_EQ(mount_->status_number("lost_bytes"), 6);
  }
  EXPECT_EQ(told, EISDIR) << strerror(told);
  EXPECT_GE(status_object(mount_->status(), "writes")["failed"].get<int>() +
                status_object(mount_->status(), "origin_writes")["failed"].get<int>(),
            1);
  EXPECT_EQ(whole(there("a/in")), "theirs");
  EXPECT_EQ(list_names(there("a")).value(), std::vector<std::string>{"in"});
  EXPECT_TRUE(
      wait_until([&] { return put(here("a"), "x", 0) == EISDIR; }, std::chrono::seconds(20)));
  // Until it is looked at again the kernel knows a file of that name.
  EXPECT_TRUE(
      wait_until([&] { return whole(here("a/in")) == "theirs"; }, std::chrono::seconds(20)));
}

}  // namespace
}  // namespace netfs::test
