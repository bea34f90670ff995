// Goal: the founding rule by the real thing.  The cache lies on a file system that is frozen: every
// write to it stands still.  Cold faults, cold reads, look-ups and listings must complete all the
// same, at the origin's speed; after the thaw the cache must fill.
//
// The thaw comes from another process after a bound, whatever happens (support/loop_image.h), and
// reads run in threads and programs that a watchdog can free by ending the mount.

#include <atomic>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "sync/thread.h"
#include "tests/support/loop_image.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr unsigned kThreads = 8;
constexpr uint64_t kMappedBytes = 24 << 20;
constexpr uint64_t kReadBytes = 4 << 20;
constexpr unsigned kNames = 200;
// Far more than reading takes at the origin's speed, far less than for ever.
constexpr std::chrono::seconds kBound{120};
constexpr std::chrono::seconds kWait{60};
constexpr std::chrono::seconds kFreezeBound{180};

struct Parameters {
  const char* disk;
  const char* origin;
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
  std::unique_ptr<NetfsMount> mount_;
};

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

INSTANTIATE_TEST_SUITE_P(Disks, FrozenCache,
                         testing::Values(Parameters{"ext4", "file"}, Parameters{"xfs", "file"},
                                         Parameters{"ext4", "sftp"}, Parameters{"xfs", "sftp"}),
                         [](const auto& instance) {
                           return std::string(instance.param.disk) + "_" + instance.param.origin;
                         });

}  // namespace
}  // namespace netfs::test
