// Goal: what --write=close promises: when close or fsync returns the origin has every byte, or the
// error is told, to each descriptor once; a write alone returns before.

#include <atomic>
#include <csignal>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/loop_image.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

class WriteClose : public WritableMount {};

INSTANTIATE_TEST_SUITE_P(Origins, WriteClose, testing::Values("file_close", "sftp_close"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(WriteClose, EveryByteIsAtTheOriginWhenCloseReturns) {
  mount_it();
  for (const size_t length : {1UL, 4096UL, 100'001UL, 9UL << 20}) {
    const std::string bytes = pattern(31, length, length);
    ASSERT_EQ(put(here("a"), bytes), 0);
    EXPECT_TRUE(whole(there("a")) == bytes) << length;
    EXPECT_EQ(stat_of(here("a")).st_size, static_cast<off_t>(length));
    EXPECT_EQ(mount_->status_number("dirty_bytes"), 0);
  }
  // Many small writes here and there.
  std::string want = pattern(32, 0, 200'000);
  write_file(there("b"), want);
  {
    const UniqueFd fd = open_file(here("b"), O_RDWR);
    ASSERT_TRUE(fd);
    for (size_t i = 0; i < 500; ++i) {
      const size_t at = i * 7919 % 199'000;
      const std::string piece = pattern(33, i, 1 + i % 97);
      ASSERT_EQ(::pwrite(fd.get(), piece.data(), piece.size(), static_cast<off_t>(at)),
                static_cast<ssize_t>(piece.size()));
      want.replace(at, piece.size(), piece);
      if (i % 50 == 0) {
        EXPECT_TRUE(bytes_at(fd.get(), 0, want.size()) == want) << i;
      }
    }
    drop_pages(here("b"));
    EXPECT_TRUE(bytes_at(fd.get(), 0, want.size()) == want) << "what is not yet there is shown";
  }
  EXPECT_TRUE(whole(there("b")) == want);
  EXPECT_EQ(mount_->status_number("lost_bytes"), 0);
}

// The times that are shown after close are the origin's, and stay.
TEST_P(WriteClose, SizeAndTimesAreTheOriginsAsSoonAsTheyAreAskedFor) {
  mount_it();
  const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  for (off_t size = 1000; size <= 5000; size += 1000) {
    ASSERT_EQ(::pwrite(fd.get(), pattern(34, 0, 1000).data(), 1000, size - 1000), 1000);
    struct stat st {};
    ASSERT_EQ(::fstat(fd.get(), &st), 0);
    EXPECT_EQ(st.st_size, size);
    struct stat origin = stat_of(there("a"));
    EXPECT_EQ(origin.st_size, size) << "who asks for the times has them written";
    EXPECT_EQ(st.st_mtim.tv_sec, origin.st_mtim.tv_sec);
    if (!is_sftp()) {
      EXPECT_EQ(st.st_mtim.tv_nsec, origin.st_mtim.tv_nsec);
    }
  }
  const timespec times[2] = {{1'500'000'000, 0}, {1'500'000'000, 0}};
  ASSERT_EQ(::pwrite(fd.get(), "last", 4, 0), 4);
  ASSERT_EQ(::futimens(fd.get(), times), 0);
  EXPECT_EQ(stat_of(there("a")).st_mtim.tv_sec, 1'500'000'000)
      << "what was written before came before";
  EXPECT_EQ(whole(there("a")).substr(0, 4), "last");
}

// What went out in many pieces at once shows nothing of the file but that it was ours; what others
// make of it afterwards must not be taken for that.
TEST_P(WriteClose, WhatOthersWriteAfterTheCloseIsSeenAlsoIfItIsAsLong) {
  mount_it({"--metadata-ttl", "0s"});
  const auto other = mount_of(source_, {how(), "--metadata-ttl", "0s"}, "other");
  ASSERT_TRUE(other->ready());
  for (uint64_t round = 0; round < 4; ++round) {
    const std::string& writer = round % 2 == 0 ? mount_->path() : other->path();
    const std::string& reader = round % 2 == 0 ? other->path() : mount_->path();
    const std::string bytes = pattern(39, round, 4 << 20);
    ASSERT_EQ(put(writer + "/shared", bytes, O_CREAT), 0);
    EXPECT_TRUE(whole(writer + "/shared") == bytes) << round;
    // SFTP tells versions apart by size and seconds.
    if (is_sftp()) set_mtime(there("shared"), 1'600'000'000 + static_cast<time_t>(round));
    EXPECT_TRUE(whole(reader + "/shared") == bytes) << round;
  }
}

TEST_P(WriteClose, AFailureIsToldOnceToEachDescriptor) {
  NETFS_TEST_NEEDS(loop_devices());
  LoopImage disk(temp_, "ext4", 16);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  mount_ = mount_of(disk.path(), {how()});
  const std::string bytes = pattern(35, 0, 1 << 20);
  {
    const UniqueFd one = open_file(here("big"), O_WRONLY | O_CREAT);
    const UniqueFd two = open_file(here("big"), O_WRONLY);
    ASSERT_TRUE(one && two);
    int told = 0;
    for (int i = 0; i < 40 && told == 0; ++i) {
      const off_t at = static_cast<off_t>(i) << 20;
      if (::pwrite(one.get(), bytes.data(), bytes.size(), at) < 0) told = errno;
    }
    // Also where a write has heard of it already, another write had been answered before.
    EXPECT_EQ(code(::fsync(two.get())), ENOSPC);
    EXPECT_EQ(code(::fsync(two.get())), 0) << "once";
    EXPECT_EQ(code(::fsync(one.get())), ENOSPC) << "each";
    EXPECT_EQ(code(::fsync(one.get())), 0);
  }
  EXPECT_GT(mount_->status_number("lost_bytes"), 0);
  mount_.reset();
}

TEST_P(WriteClose, WhoOpensAfterAFailureHearsNothingOfItAndADupIsNotToldTwice) {
  NETFS_TEST_NEEDS(loop_devices());
  LoopImage disk(temp_, "ext4", 16);
  ASSERT_TRUE(disk.ready()) << disk.trouble();
  write_file(disk.path() + "/a", "0123456789");
  mount_ = mount_of(disk.path(), {how()});
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    const UniqueFd other = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd && other);
    const int dup = ::dup(fd.get());
    ASSERT_TRUE(set_immutable(disk.path() + "/a", true)) << strerror(errno);
    ASSERT_EQ(::pwrite(fd.get(), "lost", 4, 0), 4);
    EXPECT_NE(code(::close(dup)), 0);
    EXPECT_EQ(code(::fsync(fd.get())), 0) << "it is the same open file";
    ASSERT_TRUE(set_immutable(disk.path() + "/a", false));
    const UniqueFd later = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(later);
    EXPECT_EQ(code(::fsync(later.get())), 0);
    EXPECT_NE(code(::fsync(other.get())), 0) << "who had it open then is told all the same";
    EXPECT_EQ(code(::fsync(other.get())), 0);
    EXPECT_EQ(mount_->status_number("lost_bytes"), 4);
  }
  EXPECT_EQ(whole(here("a")), "0123456789");
  mount_.reset();
}

// As on a local disk: who has it open writes on to what has no name any more.
TEST_P(WriteClose, AFileThatADirectoryReplacesWhileItsWritesAreKeptIsWrittenByItsHandle) {
  // So that the last of it is here yet for as long as anybody may need.
  mount_it({"--bwlimit", "32K:off", "--metadata-ttl", "1s"});
  const std::string bytes = pattern(46, 0, 400'000);
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT);
    ASSERT_TRUE(fd);
    for (size_t at = 0; at < bytes.size(); at += 25'000) {
      ASSERT_EQ(::pwrite(fd.get(), bytes.data() + at, 25'000, static_cast<off_t>(at)), 25'000);
    }
    EXPECT_FALSE(whole(there("a")) == bytes) << "nothing was kept: the test proves nothing";
    ASSERT_EQ(::unlink(there("a").c_str()), 0);
    ASSERT_EQ(::mkdir(there("a").c_str(), 0755), 0);
    write_file(there("a/in"), "theirs");
    EXPECT_EQ(limit("off").status, 0);
    EXPECT_EQ(code(::fsync(fd.get())), 0);
    EXPECT_EQ(mount_->status_number("lost_bytes"), 0);
    // SFTP opens a file once more to read it, by its name: there is no more than the kernel has.
    const std::string seen = bytes_at(fd.get(), 0, bytes.size());
    const bool is_less = seen.starts_with("error") || bytes.starts_with(seen);
    EXPECT_TRUE(seen == bytes || (is_sftp() && is_less)) << seen.size() << " bytes";
  }
  EXPECT_TRUE(
      wait_until([&] { return put(here("a"), "x", 0) == EISDIR; }, std::chrono::seconds(20)));
  EXPECT_EQ(list_names(there("a")).value(), std::vector<std::string>{"in"});
  EXPECT_EQ(whole(here("a/in")), "theirs");
}

// A store into a mapping outlives the close of its descriptor; nothing tells the kernel's FUSE of
// its end but the release.
TEST_P(WriteClose, StoresIntoAMappingAfterCloseComeToTheOrigin) {
  write_file(there("a"), pattern(36, 0, 100'000));
  mount_it();
  void* map = MAP_FAILED;
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    ASSERT_TRUE(fd);
    map = ::mmap(nullptr, 100'000, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
  }
  std::memcpy(static_cast<char*>(map) + 70'000, "after close", 11);
  ASSERT_EQ(::munmap(map, 100'000), 0);
  std::string want = pattern(36, 0, 100'000);
  want.replace(70'000, 11, "after close");
  EXPECT_TRUE(wait_until([&] { return whole(there("a")) == want; }, std::chrono::seconds(30)));
  EXPECT_TRUE(whole(here("a")) == want);
}

TEST_P(WriteClose, UnmountingBringsWhatIsHere) {
  mount_it();
  const std::string bytes = pattern(37, 0, 3 << 20);
  void* map = MAP_FAILED;
  ASSERT_EQ(put(here("a"), bytes), 0);
  {
    const UniqueFd fd = open_file(here("a"), O_RDWR);
    map = ::mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
  }
  std::memset(static_cast<char*>(map) + 1'000'000, 'm', 1'000'000);
  ASSERT_EQ(::munmap(map, bytes.size()), 0);
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  std::string want = bytes;
  want.replace(1'000'000, 1'000'000, std::string(1'000'000, 'm'));
  EXPECT_TRUE(whole(there("a")) == want);
}

// What a process that died had kept is written by the next one; close waits for that.
TEST_P(WriteClose, WhatWasKeptWhenTheWorkerDiedIsThereWithTheClose) {
  mount_it({"--bwlimit", "32K:off"});
  const int fd = ::open(here("a").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  const std::string bytes = pattern(44, 0, 500'000);
  for (size_t at = 0; at < bytes.size(); at += 25'000) {
    ASSERT_EQ(::pwrite(fd, bytes.data() + at, 25'000, static_cast<off_t>(at)), 25'000);
  }
  EXPECT_FALSE(whole(there("a")) == bytes) << "nothing was kept: the test proves nothing";
  const pid_t first = mount_->worker();
  ASSERT_GT(first, 0);
  kill_process(first, SIGKILL);
  ASSERT_TRUE(wait_until([&] { return mount_->worker() > 0 && mount_->worker() != first; },
                         std::chrono::seconds(60)));
  EXPECT_TRUE(whole(here("a")) == bytes) << "who reads it sees it at once";
  EXPECT_EQ(limit("off").status, 0);
  EXPECT_EQ(code(::close(fd)), 0);
  EXPECT_TRUE(whole(there("a")) == bytes);
  EXPECT_EQ(put(here("b"), "afterwards"), 0);
  EXPECT_EQ(whole(there("b")), "afterwards");
}

// While others read the file all the time: the kernel drops its pages before it sends a direct
// write, and an asynchronous one does not drop again what came meanwhile.  (As generic/451 of
// xfstests.)
TEST_P(WriteClose, AReadAfterAnAsynchronousDirectWriteSeesIt) {
  constexpr size_t kBytes = 640 << 10;
  mount_it();
  const UniqueFd direct = open_file(here("a"), O_RDWR | O_CREAT | O_DIRECT);
  ASSERT_TRUE(direct) << strerror(errno);
  void* memory = nullptr;
  ASSERT_EQ(::posix_memalign(&memory, 4096, kBytes), 0);
  const std::unique_ptr<void, decltype(&std::free)> owned(memory, &std::free);
  aio_context_t context = 0;
  ASSERT_EQ(::syscall(SYS_io_setup, 128, &context), 0) << strerror(errno);
  std::memset(memory, 0, kBytes);
  ASSERT_EQ(::pwrite(direct.get(), memory, kBytes, 0), static_cast<ssize_t>(kBytes));
  std::atomic<bool> over{false};
  const sync::Thread reader("reader", [&] {
    while (!over) {
      const UniqueFd fd = open_file(here("a"), O_RDONLY);
      (void)bytes_at(fd.get(), 0, kBytes);
    }
  });
  for (int round = 1; round <= 150 && !HasFailure(); ++round) {
    std::memset(memory, round, kBytes);
    iocb one{};
    one.aio_lio_opcode = IOCB_CMD_PWRITE;
    one.aio_fildes = static_cast<uint32_t>(direct.get());
    one.aio_buf = reinterpret_cast<uint64_t>(memory);
    one.aio_nbytes = kBytes;
    iocb* all = &one;
    io_event done{};
    EXPECT_EQ(::syscall(SYS_io_submit, context, 1, &all), 1) << strerror(errno);
    EXPECT_EQ(::syscall(SYS_io_getevents, context, 1, 1, &done, nullptr), 1) << strerror(errno);
    EXPECT_EQ(done.res, static_cast<int64_t>(kBytes));
    const UniqueFd fd = open_file(here("a"), O_RDONLY);
    EXPECT_TRUE(bytes_at(fd.get(), 0, kBytes) == std::string(kBytes, static_cast<char>(round)))
        << "round " << round;
  }
  // More of them at once than the kernel has places for, while pages are being read.
  std::vector<iocb> many(100);
  std::vector<iocb*> all_of_them;
  for (size_t i = 0; i < many.size(); ++i) {
    many[i].aio_lio_opcode = IOCB_CMD_PWRITE;
    many[i].aio_fildes = static_cast<uint32_t>(direct.get());
    many[i].aio_buf = reinterpret_cast<uint64_t>(memory);
    many[i].aio_nbytes = 4096;
    many[i].aio_offset = static_cast<int64_t>(i * 4096);
    all_of_them.push_back(&many[i]);
  }
  std::vector<io_event> done(many.size());
  const long count = static_cast<long>(many.size());
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(::syscall(SYS_io_submit, context, count, all_of_them.data()), count);
    EXPECT_EQ(::syscall(SYS_io_getevents, context, count, count, done.data(), nullptr), count);
  }
  over = true;
  ::syscall(SYS_io_destroy, context);
}

// Where many pieces were on their way together no answer tells what the file is like; a look does,
// and the next write is measured by it.
TEST_P(WriteClose, WhatOthersWriteBetweenTwoOfOurWritesIsSeen) {
  mount_it({"--metadata-ttl", "1h"});
  const UniqueFd fd = open_file(here("a"), O_RDWR | O_CREAT);
  ASSERT_TRUE(fd);
  std::string want = pattern(40, 0, 3 << 20);
  ASSERT_EQ(::pwrite(fd.get(), want.data(), want.size(), 0), static_cast<ssize_t>(want.size()));
  ASSERT_EQ(::fsync(fd.get()), 0) << strerror(errno);
  {
    const UniqueFd foreign = open_file(there("a"), O_WRONLY);
    ASSERT_EQ(::pwrite(foreign.get(), "foreign", 7, 1'000'000), 7);
    want.replace(1'000'000, 7, "foreign");
  }
  if (is_sftp()) set_mtime(there("a"), 1'600'000'000);
  ASSERT_EQ(::pwrite(fd.get(), "ours", 4, 10), 4);
  want.replace(10, 4, "ours");
  ASSERT_EQ(::fsync(fd.get()), 0) << strerror(errno);
  EXPECT_TRUE(wait_until([&] { return bytes_at(fd.get(), 0, want.size()) == want; },
                         std::chrono::seconds(20)));
}

// Far away nothing else would be bearable; and the origin is asked little.
TEST_P(WriteClose, WritesAreOnTheirWayTogether) {
  mount_it({"--simulate", "rtt=40ms,bandwidth=1Gbit"});
  const std::string bytes = pattern(38, 0, 4 << 20);
  ASSERT_EQ(put(here("a"), ""), 0);
  {
    const UniqueFd fd = open_file(here("a"), O_WRONLY);
    ASSERT_TRUE(fd);
    for (size_t at = 0; at < bytes.size(); at += 4096) {
      ASSERT_EQ(::write(fd.get(), bytes.data() + at, 4096), 4096);
    }
  }
  EXPECT_TRUE(whole(there("a")) == bytes);
  // A thousand pages, one by one, would be a thousand round trips.
  EXPECT_LT(status_object(mount_->status(), "origin_writes")["issued"], 300);
}

}  // namespace
}  // namespace netfs::test
