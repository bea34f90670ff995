// Goal: kill -9 of the worker and power cuts of the cache's disk, at random moments under load and
// at injected points, leave a cache that opens without help, never shows a wrong byte, and keeps
// what was stored well before.
//
// Injected points: strace kills the worker as it enters its N-th call of a kind that changes a file
// system, which is more exact than any hook in the code.  Power cuts: support/loop_image.h.
//
// While a worker is being replaced calls may fail; they may not be wrong.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "base/kill_process.h"
#include "sync/thread.h"
#include "tests/support/loop_image.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr unsigned kOldFiles = 6;
constexpr unsigned kNewFiles = 12;
constexpr uint64_t kFileBytes = 700000;
constexpr unsigned kLoaders = 3;

class Crash : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(loop_devices());
    random_.seed(test_seed());
    source_ = temp_.make_dir("source");
    for (unsigned i = 0; i < kOldFiles; ++i) {
      write_file(source_ + old_name(i), pattern(i, 0, kFileBytes + i * 1111));
    }
    write_new_files();
    disk_ = std::make_unique<LoopImage>(temp_, GetParam(), 400);
    ASSERT_TRUE(disk_->ready()) << disk_->trouble();
  }

  static std::string old_name(unsigned i) { return "/old" + std::to_string(i); }
  static std::string new_name(unsigned i) { return "/new" + std::to_string(i); }

  // Other bytes under the same names, so that every round has something to store.
  void write_new_files() {
    for (unsigned i = 0; i < kNewFiles; ++i) {
      write_file(source_ + new_name(i), pattern(random_(), 0, kFileBytes + i * 4096 + 5));
    }
  }

  void mount_it() {
    mount_.reset();
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = "file://" + source_,
            .cache_dir = disk_->path() + "/cache",
            .more = {"--hot", "0s", "--metadata-ttl", "1s", "--cache-size", "200M"}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }

  // The old files are in the cache, durable and sealed, long before any accident.
  void store_old_files() {
    mount_it();
    for (unsigned i = 0; i < kOldFiles; ++i) {
      ASSERT_TRUE(same_bytes(mount_->path() + old_name(i), source_ + old_name(i)));
    }
    ASSERT_TRUE(wait_until([&] { return mount_->status_number("sealed_count") >= kOldFiles; },
                           std::chrono::seconds(60)))
        << "what was read was not sealed: " << mount_->status();
    ASSERT_TRUE(mount_->unmount()) << mount_->log();
  }

  // Reads at random until told to stop; counts wrong bytes, not failures.
  void load(const std::atomic<bool>& stop, uint64_t seed, std::atomic<unsigned>& wrong) const {
    std::mt19937_64 random(seed);
    while (!stop) {
      const unsigned pick = random() % (kOldFiles + kNewFiles);
      const std::string name = pick < kOldFiles ? old_name(pick) : new_name(pick - kOldFiles);
      const ByteRange range{random() % kFileBytes, 1 + random() % 300000};
      const Result<std::string> got = read_range(mount_->path() + name, range);
      if (!got.ok()) continue;
      const Result<std::string> want = read_range(source_ + name, range);
      if (want.ok() && got.value() != want.value()) ++wrong;
    }
  }

  // Runs `accident` while the mount is read from several threads.
  void under_load(const std::function<void()>& accident) {
    std::atomic<bool> stop{false};
    std::atomic<unsigned> wrong{0};
    {
      std::vector<sync::Thread> loaders;
      for (unsigned i = 0; i < kLoaders; ++i) {
        loaders.emplace_back("load-" + std::to_string(i),
                             [&, seed = random_()] { load(stop, seed, wrong); });
      }
      accident();
      stop = true;
    }
    EXPECT_EQ(wrong, 0u);
  }

  // A mount after an accident: all bytes right, the old ones from the cache.
  void expect_all_is_well() {
    mount_it();
    for (unsigned i = 0; i < kOldFiles; ++i) {
      EXPECT_TRUE(same_bytes(mount_->path() + old_name(i), source_ + old_name(i)));
    }
    EXPECT_EQ(mount_->status_number("origin_bytes"), 0)
        << "old blocks were lost: " << mount_->status();
    for (unsigned i = 0; i < kNewFiles; ++i) {
      EXPECT_TRUE(same_bytes(mount_->path() + new_name(i), source_ + new_name(i)));
    }
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
  }

  void wait_a_random_while() {
    const auto until = Clock::system().now() + std::chrono::milliseconds(20 + random_() % 300);
    wait_until([&] { return Clock::system().now() >= until; }, std::chrono::seconds(1));
  }

  // The worker dies once more, right before it is asked to unmount.
  void end_mount_after_accident() {
    const pid_t worker = mount_->worker();
    if (worker > 0) kill_process(worker, SIGKILL);
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
  }

  TempDir temp_;
  std::mt19937_64 random_;
  std::string source_;
  std::unique_ptr<LoopImage> disk_;
  std::unique_ptr<NetfsMount> mount_;
};

TEST_P(Crash, KilledAtRandomUnderLoadNoByteIsWrongAndOldBlocksStay) {
  const Watchdog watchdog(std::chrono::seconds(150), [&] { abort_mount(temp_ / "mnt"); });
  store_old_files();
  for (unsigned round = 0; round < 4 && !HasFailure(); ++round) {
    write_new_files();
    mount_it();
    under_load([&] {
      wait_a_random_while();
      ASSERT_EQ(kill_process(mount_->worker(), SIGKILL), 0);
      wait_a_random_while();
    });
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
    expect_all_is_well();
  }
}

TEST_P(Crash, AfterAPowerCutNoByteIsWrongAndOldBlocksStay) {
  const Watchdog watchdog(std::chrono::seconds(150), [&] { abort_mount(temp_ / "mnt"); });
  store_old_files();
  for (unsigned round = 0; round < 4 && !HasFailure(); ++round) {
    write_new_files();
    mount_it();
    under_load([&] {
      wait_a_random_while();
      // The disk is dead, the worker lives on for a while, then it dies as well.
      ASSERT_TRUE(disk_->cut_power());
      wait_a_random_while();
    });
    end_mount_after_accident();
    ASSERT_TRUE(disk_->mount_again());
    expect_all_is_well();
  }
}

// Each kind of call by which a store changes its disk, the first few of each.
TEST_P(Crash, KilledAtAnInjectedPointNoByteIsWrongAndOldBlocksStay) {
  NETFS_TEST_NEEDS(program("strace"));
  const Watchdog watchdog(std::chrono::seconds(280), [&] { abort_mount(temp_ / "mnt"); });
  store_old_files();
  // What each round makes; commits, and what follows them, may come later than anybody waits.
  const std::string made_soon[] = {"pwrite64", "ftruncate", "openat"};
  std::map<std::string, unsigned> kills;
  for (const char* call : {"pwrite64", "pwritev2", "fdatasync", "ftruncate", "openat", "unlink",
                           "unlinkat", "rename"}) {
    for (const char* which : {"1", "2", "5"}) {
      if (HasFailure()) break;
      write_new_files();
      mount_it();
      const pid_t worker = mount_->worker();
      Process strace({"strace", "-f", "-qq", "-o", "/dev/null", "-e", std::string("trace=") + call,
                      "-e", std::string("inject=") + call + ":signal=SIGKILL:when=" + which, "-p",
                      std::to_string(worker)},
                     temp_ / "strace.log");
      const bool surely = std::find(begin(made_soon), end(made_soon), call) != end(made_soon);
      under_load([&] {
        // Not every store makes every kind of call: then nothing is killed here.
        const bool killed =
            wait_until([&] { return kill_process(worker, 0) != 0; },
                       surely && kills[call] == 0 ? std::chrono::milliseconds(20'000)
                                                  : std::chrono::milliseconds(1500));
        if (killed) ++kills[call];
      });
      strace.signal(SIGTERM);
      strace.wait(std::chrono::seconds(5));
      end_mount_after_accident();
      expect_all_is_well();
    }
  }
  for (const std::string& call : made_soon) {
    EXPECT_GE(kills[call], 1u) << call << ": the injections did not hit: the test proves nothing";
  }
}

INSTANTIATE_TEST_SUITE_P(FileSystems, Crash, testing::Values("ext4", "xfs"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace netfs::test
