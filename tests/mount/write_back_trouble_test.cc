// Goal: what --write=back does where the origin is away, full, or not what it was when ours was
// written: what waits is durable here, told and counted, and in the end there or beside.

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <sys/mman.h>

#include "tests/mount/write_back_fixture.h"
#include "tests/support/loop_image.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

// A local folder does not go away.
class WriteBackRemote : public WriteBack {};

INSTANTIATE_TEST_SUITE_P(Origins, WriteBackRemote, testing::Values("sftp_back"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(WriteBackRemote, AnUnmountWhileTheOriginIsAwaySaysWhatWaitsAndItIsThereAfterTheNextMount) {
  mount_it({"--timeout=4s"});
  const std::string bytes = pattern(71, 0, 50'000);
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT);
    ASSERT_TRUE(fd);
    ASSERT_EQ(::pwrite(fd.get(), "there", 5, 0), 5);
    ASSERT_EQ(sync_it(), 0) << last_output_;
    sshd_->stop();
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), 50'000);
    ASSERT_EQ(::fsync(fd.get()), 0);
  }
  const Finished said = umount_it();
  EXPECT_EQ(said.status, 0) << "it is unmounted: " << said.output;
  EXPECT_FALSE(mount_->mounted());
  EXPECT_NE(said.output.find("not at sftp://"), std::string::npos) << said.output;
  EXPECT_NE(said.output.find("1 change, 48.8 KiB"), std::string::npos) << said.output;
  EXPECT_EQ(std::count(said.output.begin(), said.output.end(), '\n'), 1) << said.output;
  const size_t where = said.output.find(temp_ / "cache-mnt");
  ASSERT_NE(where, std::string::npos) << said.output;
  const std::string folder = said.output.substr(where, said.output.find(' ', where) - where);
  EXPECT_TRUE(std::filesystem::is_directory(folder)) << folder;
  EXPECT_TRUE(mount_->unmount()) << "its processes end";
  EXPECT_TRUE(mount_->says("they wait in " + folder)) << mount_->log();
  EXPECT_EQ(whole(there("a")), "there");

  ASSERT_TRUE(sshd_->start_again()) << sshd_->log();
  mount_it();
  EXPECT_TRUE(whole(here("a")) == bytes);
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(there("a")) == bytes);
  EXPECT_EQ(umount_it().output, "") << "nothing waits any more";
}

TEST_P(WriteBack, AnUnmountSaysWhatWentOtherwiseThanItWasMade) {
  write_file(there("a"), "0123456789");
  mount_it();
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    // A write looks at nothing there: it is of the version that was opened.
    write_file(there("a"), "theirs, and longer");
    ASSERT_EQ(::pwrite(fd.get(), "ours", 4, 0), 4);
  }
  const Finished said = umount_it();
  EXPECT_EQ(said.status, 0);
  EXPECT_NE(said.output.find("a.netfs-conflict-1"), std::string::npos) << said.output;
  EXPECT_EQ(whole(there("a")), "theirs, and longer");
}

TEST_P(WriteBack, PermissionThatGoesAfterTheOpenSetsTheChangeAside) {
  NETFS_TEST_NEEDS(loop_devices());
  LoopImage disk(temp_, "ext4", 16);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  const std::string there = disk.path() + "/a";
  write_file(there, "0123456789");
  mount_ = mount_of(disk.path(), {how(), kSlowUploads});
  hold_uploads();
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    ASSERT_TRUE(set_immutable(there, true)) << strerror(errno);
    EXPECT_EQ(code(::pwrite(fd.get(), "xyz", 3, 4)), 0);
    EXPECT_EQ(code(::fsync(fd.get())), 0) << "it is durable here";
    go_on_uploading();
    EXPECT_NE(sync_it(), 0);
    EXPECT_NE(last_output_.find("'a' could not be uploaded"), std::string::npos) << last_output_;
    EXPECT_EQ(journal()["changes_set_aside"], 1);
    EXPECT_EQ(code(::fsync(fd.get())), EIO) << "who wrote it is told";
    ASSERT_TRUE(set_immutable(there, false));
  }
  EXPECT_EQ(whole(there), "0123456789");
  // Until it is closed by all who wrote to it; the kernel tells of that without waiting.
  EXPECT_TRUE(
      wait_until([&] { return put(here("a"), "after", 0) == 0; }, std::chrono::seconds(20)));
  EXPECT_EQ(sync_it(), 0) << last_output_;
  EXPECT_EQ(whole(there), "after56789");
  mount_.reset();
}

TEST_P(WriteBack, WhatTheOriginTookAndForgotIsShownAndIsAConflictForWhoWritesOn) {
  const std::string old = pattern(72, 0, 50'000);
  const std::string fresh = pattern(73, 0, 50'000);
  for (const char* name : {"a", "b"}) write_file(there(name), old, std::chrono::hours(2));
  mount_it({"--metadata-ttl=0s"});
  const auto forget = [&](const std::string& name) {
    const UniqueFd foreign = open_file(there(name), O_WRONLY);
    ASSERT_EQ(::pwrite(foreign.get(), old.data(), old.size(), 0), 50'000);
    set_mtime(there(name), ::time(nullptr) + 10);
  };
  ASSERT_EQ(put(here("a"), fresh, 0), 0);
  const UniqueFd fd = open_file(here("b"), O_RDWR);
  ASSERT_EQ(::pwrite(fd.get(), fresh.data(), fresh.size(), 0), 50'000);
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(here("a")) == fresh);
  forget("a");
  EXPECT_TRUE(whole(here("a")) == old) << "the next open shows what is there";
  forget("b");
  ASSERT_EQ(::pwrite(fd.get(), "ours", 4, 10), 4);
  EXPECT_NE(sync_it(), 0);
  EXPECT_EQ(journal()["conflicts"], 1);
  EXPECT_TRUE(whole(there("b")) == old);
  EXPECT_EQ(whole(there("b.netfs-conflict-1")).substr(10, 4), "ours");
}

TEST_P(WriteBack, AFullOriginMakesTheUploadWaitUntilThereIsRoom) {
  NETFS_TEST_NEEDS(loop_devices());
  LoopImage disk(temp_, "ext4", 16);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  write_file(disk.path() + "/a", "old");
  int filled = 0;
  for (size_t length = 1 << 20; length >= 4096; length /= 2) {
    do {
      filled = put(disk.path() + "/filler", std::string(length, 'f'), O_CREAT | O_APPEND);
    } while (filled == 0);
  }
  ASSERT_EQ(filled, ENOSPC);
  mount_ = mount_of(disk.path(), {how()});
  const std::string bytes = pattern(74, 0, 2 << 20);
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), 2 << 20);
    ASSERT_EQ(::fsync(fd.get()), 0);
  }
  EXPECT_TRUE(wait_until([&] { return journal().value("upload_error", "") != ""; },
                         std::chrono::seconds(30)));
  EXPECT_NE(journal().value("upload_error", "").find(strerror(ENOSPC)), std::string::npos)
      << journal();
  EXPECT_GE(journal()["pending_changes"], 1);
  EXPECT_EQ(journal()["changes_set_aside"], 0);
  EXPECT_NE(sync_it("1s"), 0);
  EXPECT_TRUE(whole(here("a")) == bytes) << "and is seen meanwhile";
  ASSERT_EQ(::unlink((disk.path() + "/filler").c_str()), 0);
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(disk.path() + "/a") == bytes);
  EXPECT_EQ(journal()["pending_changes"], 0);
  mount_.reset();
}

TEST_P(WriteBack, AFileThatADirectoryReplacesBeforeItsUploadIsKeptBeside) {
  write_file(there("a"), "0123456789");
  mount_it({kSlowUploads});
  hold_uploads();
  const UniqueFd fd = open_file(here("a"), O_RDWR);
  ASSERT_TRUE(fd);
  // A write looks at nothing there: it is of the version that was opened.
  ASSERT_EQ(::unlink(there("a").c_str()), 0);
  ASSERT_EQ(::mkdir(there("a").c_str(), 0755), 0);
  write_file(there("a/in"), "theirs");
  ASSERT_EQ(::pwrite(fd.get(), "ours", 4, 0), 4);
  EXPECT_EQ(code(::fsync(fd.get())), 0) << "it is durable here";
  go_on_uploading();
  EXPECT_NE(sync_it(), 0);
  EXPECT_EQ(journal()["conflicts"], 1);
  EXPECT_EQ(whole(there("a.netfs-conflict-1")).substr(0, 4), "ours");
  EXPECT_EQ(whole(there("a/in")), "theirs");
  EXPECT_EQ(list_names(there("a")).value(), std::vector<std::string>{"in"});
}

TEST_P(WriteBack, NoWriteWaitsForBytesOfTheOrigin) {
  std::string want = pattern(75, 0, 300'000);
  write_file(there("a"), want);
  mount_it();
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    ASSERT_EQ(::pwrite(fd.get(), "within", 6, 100'001), 6);
    ASSERT_EQ(::pwrite(fd.get(), "beyond", 6, 400'001), 6);
    ASSERT_EQ(::fsync(fd.get()), 0);
  }
  EXPECT_EQ(mount_->status_number("downloaded_bytes"), 0);
  want.replace(100'001, 6, "within");
  want.resize(400'001, '\0');
  want += "beyond";
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(there("a")) == want);
  EXPECT_TRUE(whole(here("a")) == want);
}

TEST_P(WriteBack, CopiesHolesAndFilesWithoutANameAreNotLeftToTheOrigin) {
  const std::string bytes = pattern(78, 0, 100'000);
  write_file(there("a"), bytes);
  ASSERT_EQ(code(::truncate(there("a").c_str(), 5 << 20)), 0);
  mount_it();
  const UniqueFd from = open_file(here("a"), O_RDONLY);
  const UniqueFd to = open_file(here("b"), O_RDWR | O_CREAT);
  ASSERT_TRUE(from && to);
  EXPECT_EQ(::lseek(from.get(), 0, SEEK_HOLE), 5 << 20) << "all of it is data";
  EXPECT_FALSE(open_file(mount_->path(), O_TMPFILE | O_RDWR));
  EXPECT_EQ(errno, EOPNOTSUPP);
  off_t at = 0;
  ASSERT_EQ(::copy_file_range(from.get(), &at, to.get(), nullptr, 100'000, 0), 100'000)
      << strerror(errno);
  EXPECT_GE(mount_->status_number("downloaded_bytes"), 100'000);
  EXPECT_TRUE(whole(here("b")) == bytes);
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(there("b")) == bytes);
}

TEST_P(WriteBack, StoresIntoAMappingAfterTheLastCloseAreThereAfterASync) {
  std::string want = pattern(76, 0, 100'000);
  write_file(there("a"), want);
  mount_it();
  void* map = MAP_FAILED;
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    map = ::mmap(nullptr, want.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
  }
  std::memcpy(static_cast<char*>(map) + 70'000, "after close", 11);
  want.replace(70'000, 11, "after close");
  ASSERT_EQ(::munmap(map, want.size()), 0);
  ASSERT_EQ(sync_it(), 0) << last_output_;
  EXPECT_TRUE(whole(there("a")) == want);
  EXPECT_TRUE(whole(here("a")) == want);
}

}  // namespace
}  // namespace netfs::test
