// Goal: the founding rule by the real thing.  The cache lies on a file system that is frozen: every
// write to it stands still.  Cold faults, cold reads, look-ups and listings must complete all the
// same, at the origin's speed; after the thaw the cache must fill.
//
// The thaw comes from another process after a bound, whatever happens (support/loop_image.h), and
// reads run in threads and programs that a watchdog can free by ending the mount.

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/frozen/frozen_fixture.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

TEST_P(FrozenCache, ReadsFaultsAndLookUpsGoOnAndTheCacheFillsAfterTheThaw) {
  (void)list_names(mount_->path() + "/names");
  const int64_t stored_before = stored_blocks();
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  {
    const Watchdog watchdog(kBound, [&] {
      frozen.thaw();
      mount_->abort();
    });
    read_all_cold();
  }
  EXPECT_TRUE(frozen.thaw()) << "the freeze ended while the readers were still reading";

  EXPECT_TRUE(wait_until([&] { return stored_blocks() > stored_before; }, kWait))
      << "nothing was stored after the thaw: " << mount_->status();
  // What was dropped meanwhile is stored when it is read the next time.
  for (unsigned i = 0; i < kThreads; ++i) {
    const std::string name = "/read" + std::to_string(i);
    drop_pages(mount_->path() + name);
    EXPECT_TRUE(same_bytes(mount_->path() + name, source_ + name));
  }
  const uint64_t blocks = kThreads * (kReadBytes / 65536);
  EXPECT_TRUE(wait_until(
      [&] { return stored_blocks() - stored_before >= static_cast<int64_t>(blocks); }, kWait))
      << "the cache did not fill after the thaw: " << mount_->status();
}

// The queue of stores is full and stuck: stores are dropped and counted, readers do not notice.
TEST_P(FrozenCache, AFullQueueOfStoresDropsStoresAndBlocksNoReader) {
  write_file(source_ + "/long", pattern(99, 0, 200 << 20));
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  {
    const Watchdog watchdog(kBound, [&] {
      frozen.thaw();
      mount_->abort();
    });
    EXPECT_TRUE(same_bytes(mount_->path() + "/long", source_ + "/long"));
    EXPECT_GT(mount_->status_number("dropped"), 0) << mount_->status();
  }
  EXPECT_TRUE(frozen.thaw());
}

// Detaching waits for queued stores, boundedly: the mount is gone while they are still stuck.
TEST_P(FrozenCache, UnmountEndsWithinABoundWhileStoresAreStuck) {
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  {
    const Watchdog watchdog(kBound, [&] {
      frozen.thaw();
      mount_->abort();
    });
    EXPECT_TRUE(same_bytes(mount_->path() + "/read0", source_ + "/read0"));
    // Its processes may have to stay until the thaw; the mount point may not.
    const Process umount({netfs_binary(), "umount", mount_->path()}, temp_ / "umount.log");
    EXPECT_TRUE(wait_until([&] { return !mount_->mounted(); }, kWait)) << umount.output();
    EXPECT_TRUE(frozen.frozen());
  }
  EXPECT_TRUE(frozen.thaw());
  EXPECT_TRUE(mount_->unmount(kWait)) << "it did not end after the thaw";
}

TEST_P(FrozenWorker, OneThatIsKilledInAWriteIsLeftBehindAndFollowed) {
  UniqueFd open(::open((mount_->path() + "/read2").c_str(), O_RDONLY | O_CLOEXEC));
  const pid_t worker = mount_->worker();
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  {
    const Watchdog watchdog(kWait, [&] {
      frozen.thaw();
      mount_->abort();
    });
    EXPECT_TRUE(same_bytes(mount_->path() + "/read0", source_ + "/read0"));
    EXPECT_TRUE(wait_until([&] { return stands_in_the_cache(worker); }, kWait));
    kill_and_expect_served(worker, "/read1");
    std::string bytes(kReadBytes, '\0');
    EXPECT_EQ(::pread(open.get(), bytes.data(), kReadBytes, 0), static_cast<ssize_t>(kReadBytes));
    EXPECT_TRUE(bytes == pattern(12, 0, kReadBytes));
    EXPECT_EQ(kill_process(worker, 0), 0) << "it has ended: the test proves nothing";
    EXPECT_TRUE(mount_->says("it is left behind")) << mount_->log();
    EXPECT_TRUE(mount_->says("going on without a cache")) << mount_->log();
    EXPECT_TRUE(mount_->says("in use by process"))
        << "to find that out one need not wait for the disk";
  }
  EXPECT_TRUE(frozen.thaw());
  open.reset();
  expect_clean({worker});
}

// Whoever was left behind has the connection, too, and does not read from it.
TEST_P(FrozenWorker, WhoHasAFileOpenHearsOfTheEndThoughOneWasLeftBehind) {
  const UniqueFd open(::open((mount_->path() + "/read2").c_str(), O_RDONLY | O_CLOEXEC));
  const pid_t worker = mount_->worker();
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  {
    const Watchdog watchdog(kWait, [&] { frozen.thaw(); });
    EXPECT_TRUE(same_bytes(mount_->path() + "/read0", source_ + "/read0"));
    EXPECT_TRUE(wait_until([&] { return stands_in_the_cache(worker); }, kWait));
    kill_and_expect_served(worker, "/read1");
    EXPECT_EQ(kill_process(mount_->supervisor(), SIGTERM), 0);
    EXPECT_TRUE(wait_until(
        [&] {
          struct statfs asked {};
          return ::fstatfs(open.get(), &asked) != 0 && errno == ENOTCONN;
        },
        kWait));
    EXPECT_FALSE(mount_->mounted());
    EXPECT_EQ(kill_process(worker, 0), 0) << "it has ended: the test proves nothing";
  }
  EXPECT_TRUE(frozen.thaw());
}

// The first dies as ever; it is the next one that stands in the disk, to open the cache.
TEST_P(FrozenWorker, OneThatCannotOpenTheCacheServesWithoutIt) {
  const pid_t worker = mount_->worker();
  Frozen frozen(disk_->path(), kFreezeBound);
  ASSERT_TRUE(frozen.frozen());
  pid_t second = -1;
  {
    const Watchdog watchdog(kWait, [&] {
      frozen.thaw();
      mount_->abort();
    });
    kill_and_expect_served(worker, "/read1");
    EXPECT_TRUE(mount_->says("stands still")) << mount_->log();
    second = mount_->worker();
    // Or the first was at the disk after all, and has it yet.
    EXPECT_TRUE(stands_in_the_cache(second) || mount_->says("it is left behind")) << mount_->log();
    kill_and_expect_served(second, "/read2");
  }
  EXPECT_TRUE(frozen.thaw());
  expect_clean({worker, second});
}

INSTANTIATE_TEST_SUITE_P(Disks, FrozenWorker,
                         testing::Values(Parameters{"ext4", "file"}, Parameters{"xfs", "sftp"}),
                         [](const auto& instance) {
                           return std::string(instance.param.disk) + "_" + instance.param.origin;
                         });

INSTANTIATE_TEST_SUITE_P(Disks, FrozenCache,
                         testing::Values(Parameters{"ext4", "file"}, Parameters{"xfs", "file"},
                                         Parameters{"ext4", "sftp"}, Parameters{"xfs", "sftp"}),
                         [](const auto& instance) {
                           return std::string(instance.param.disk) + "_" + instance.param.origin;
                         });

}  // namespace
}  // namespace netfs::test
