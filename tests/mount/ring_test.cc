// --transport=ring: a mount whose requests come by io_uring.  What it reads and writes is tested by
// the same programs as without, run once more (tests/CMakeLists.txt); here is what is different.

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/ring_switch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{120};

class Ring : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(RingSwitch::possible());
    source_ = temp_.make_dir("source");
  }

  void mount_it(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--transport", "ring"});
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{
            .url = "file://" + source_, .cache_dir = temp_ / "cache", .more = std::move(more)},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  void make_files(unsigned count) const {
    for (unsigned i = 0; i < count; ++i) {
      write_file(source_ + "/" + std::to_string(i), pattern(i, 0, 20'000));
    }
  }
  // How many of them have the right bytes, all read at once.
  [[nodiscard]] unsigned right_of(unsigned count) const {
    std::atomic<unsigned> right{0};
    std::vector<sync::Thread> readers;
    readers.reserve(count);
    for (unsigned i = 0; i < count; ++i) {
      readers.emplace_back("reader", [&, i] {
        const Result<std::string> bytes = read_whole(mount_->path() + "/" + std::to_string(i));
        if (bytes.ok() && bytes.value() == pattern(i, 0, 20'000)) ++right;
      });
    }
    for (sync::Thread& reader : readers) reader.join();
    return right;
  }
  [[nodiscard]] std::string transport() const {
    return mount_->status().at("mounts").at(0).at("transport").at("kind");
  }

  [[nodiscard]] bool somebody_waits() const {
    const auto waits = [this] {
      return !mount_->status().at("mounts").at(0).at("requests").empty();
    };
    return wait_until(waits, std::chrono::seconds(10));
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<NetfsMount> mount_;
  const Watchdog watchdog_{kBound, [this] {
                             if (mount_) mount_->abort();
                           }};
};

TEST_F(Ring, StatusSaysThatItIsServedByIoUring) {
  const RingSwitch allowed("Y");
  write_file(source_ + "/a", "text");
  mount_it();
  EXPECT_TRUE(same_bytes(mount_->path() + "/a", source_ + "/a"));
  EXPECT_EQ(transport(), "io_uring");
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(Ring, WhereTheKernelDoesNotOfferItTheDeviceServesAndTheReasonIsSaid) {
  const RingSwitch refused("N");
  write_file(source_ + "/a", "text");
  mount_it();
  EXPECT_TRUE(same_bytes(mount_->path() + "/a", source_ + "/a"));
  EXPECT_EQ(transport(), "classic queue");
  EXPECT_TRUE(mount_->says("enable_uring")) << mount_->log();
  std::string why;
  const nlohmann::json status = mount_->status();
  for (const nlohmann::json& feature : status.at("mounts").at(0).at("features")) {
    if (feature.at("name") == "io_uring") why = feature.at("why_not");
  }
  EXPECT_NE(why.find("enable_uring"), std::string::npos) << why;
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// Far more readers than the ring has places for requests, all of them waiting for the origin.
TEST_F(Ring, MoreReadersThanPlacesAllGetTheirBytes) {
  const RingSwitch allowed("Y");
  make_files(300);
  mount_it({"--simulate", "rtt=100ms", "--metadata-ttl", "1h"});
  EXPECT_EQ(right_of(300), 300U);
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

// The kernel gives each request to its caller's processor; here no thread of the daemon may run on
// it.
TEST_F(Ring, ProcessorsThatTheDaemonMayNotUseAreServedAsWell) {
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &all)) cpus.push_back(cpu);
  }
  NETFS_TEST_NEEDS(std::string(cpus.size() > 1 ? "" : "needs two processors"));
  const RingSwitch allowed("Y");
  make_files(100);
  const auto run_on = [](int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  };
  run_on(cpus.front());
  mount_it({"--simulate", "rtt=50ms", "--metadata-ttl", "1h"});
  run_on(cpus.back());
  EXPECT_EQ(right_of(100), 100U);
  ASSERT_EQ(::sched_setaffinity(0, sizeof all, &all), 0);
  EXPECT_EQ(transport(), "io_uring");
  EXPECT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_F(Ring, WhoWaitsForTheOriginCanBeInterrupted) {
  const RingSwitch allowed("Y");
  write_file(source_ + "/a", pattern(1, 0, 100'000));  // a hundred seconds
  mount_it({"--simulate", "bandwidth=8Kbit"});
  const pid_t child = ::fork();
  if (child == 0) ::_exit(read_whole(mount_->path() + "/a").ok() ? 0 : 1);
  ASSERT_TRUE(somebody_waits());
  kill_process(child, SIGKILL);
  int status = 0;
  EXPECT_TRUE(wait_until([&] { return ::waitpid(child, &status, WNOHANG) == child; },
                         std::chrono::seconds(20)));
  EXPECT_TRUE(WIFSIGNALED(status));
}

// Nobody can go on with a ring: its users get an error, the mount is gone, and it can be made anew.
TEST_F(Ring, ADaemonThatDiesTakesItsMountWithIt) {
  const RingSwitch allowed("Y");
  write_file(source_ + "/a", pattern(1, 0, 100'000));
  mount_it({"--simulate", "bandwidth=8Kbit"});
  std::atomic<int> code{-1};
  sync::Thread reader("reader", [&] {
    const Result<std::string> bytes = read_whole(mount_->path() + "/a");
    code = bytes.ok() ? 0 : bytes.code();
  });
  ASSERT_TRUE(somebody_waits());
  ASSERT_EQ(kill_process(mount_->worker(), SIGKILL), 0);
  EXPECT_TRUE(wait_until([&] { return code >= 0; }, std::chrono::seconds(20)));
  reader.join();
  EXPECT_TRUE(code == ECONNABORTED || code == ENOTCONN || code == ECANCELED) << code;
  EXPECT_TRUE(wait_until([&] { return !mount_->mounted(); }, std::chrono::seconds(20)));
  EXPECT_TRUE(mount_->says("io_uring")) << mount_->log();
  mount_.reset();
  mount_it();
  EXPECT_TRUE(same_bytes(mount_->path() + "/a", source_ + "/a"));
}

// What its user has detached is not there any more; what is there now is somebody else's.
TEST_F(Ring, ADaemonThatDiesLeavesWhatOthersHaveMountedAlone) {
  const RingSwitch allowed("Y");
  write_file(source_ + "/a", "text");
  mount_it();
  const std::string place = mount_->path();
  const UniqueFd used(::open((place + "/a").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(used);
  const pid_t worker = mount_->worker();
  ASSERT_EQ(::umount2(place.c_str(), MNT_DETACH), 0);
  ASSERT_EQ(::mount("others", place.c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(kill_process(worker, SIGKILL), 0);
  EXPECT_TRUE(mount_->says("io_uring")) << mount_->log();
  EXPECT_TRUE(mount_->mounted());
  EXPECT_EQ(::umount2(place.c_str(), 0), 0);
}

}  // namespace
}  // namespace netfs::test
