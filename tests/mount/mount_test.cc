// Goal: what only a whole mount shows: many threads faulting one mapping, two mounts on one cache,
// a cache whose files were copied sparsely, a worker that dies.

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <vector>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};

class Mount : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
  }

  [[nodiscard]] NetfsMount::Options options(std::vector<std::string> more = {}) const {
    return {.url = "file://" + source_, .cache_dir = temp_ / "cache", .more = std::move(more)};
  }

  TempDir temp_;
  std::string source_;
};

// holetest for reads: sixteen threads fault the same pages of one cold mapping, each in an order of
// its own; and again from the cache.
TEST_F(Mount, ManyThreadsFaultingOneMappingSeeTheRightBytes) {
  write_file(source_ + "/mapped", pattern(3, 0, (40 << 20) + 777));
  NetfsMount mount(options({"--hot", "0s"}), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  for (const char* pass : {"cold", "again"}) {
    Process faulting({fault_reader(), mount.path() + "/mapped", source_ + "/mapped", "16", "42"},
                     temp_ / "fault.log");
    EXPECT_EQ(faulting.wait(kBound), 0) << pass << ": " << faulting.output() << mount.log();
    drop_pages(mount.path() + "/mapped");
  }
}

// The middle of one file is zeroes that were written, of the other a hole; after the cache's files
// were copied sparsely, presence still is what the index says.
TEST_F(Mount, ZeroesAndHolesReadTheSameAfterTheCacheWasCopiedSparsely) {
  std::string bytes = pattern(4, 0, 1 << 20);
  std::fill(bytes.begin() + 200000, bytes.begin() + 900000, '\0');
  write_file(source_ + "/zeroes", bytes);
  write_file(source_ + "/hole", bytes);
  {
    const UniqueFd fd(::open((source_ + "/hole").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 200000, 700000), 0)
        << strerror(errno);
  }
  {
    NetfsMount mount(options({"--hot", "0s"}), temp_);
    ASSERT_TRUE(mount.ready()) << mount.log();
    EXPECT_TRUE(same_bytes(mount.path() + "/zeroes", source_ + "/zeroes"));
    EXPECT_TRUE(same_bytes(mount.path() + "/hole", source_ + "/hole"));
    ASSERT_TRUE(wait_until([&] { return mount.status_number("sealed_count") >= 2; },
                           std::chrono::seconds(60)))
        << mount.status();
    ASSERT_TRUE(mount.unmount()) << mount.log();
  }
  const std::string cache = temp_ / "cache";
  const Finished copied = run(
      {"sh", "-c",
       "mv " + cache + " " + cache + ".old && cp -a --sparse=always " + cache + ".old " + cache},
      std::chrono::seconds(60));
  ASSERT_EQ(copied.status, 0) << copied.output;
  NetfsMount mount(options({"--hot", "0s"}), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  EXPECT_TRUE(same_bytes(mount.path() + "/zeroes", source_ + "/zeroes"));
  EXPECT_TRUE(same_bytes(mount.path() + "/hole", source_ + "/hole"));
  EXPECT_EQ(mount.status_number("origin_bytes"), 0) << mount.status();
}

// A file system below `folder` whose files lie on another one, for as long as the object lives.
class Overlay {
 public:
  explicit Overlay(std::string folder) : folder_(std::move(folder)) {
    const std::string parts = folder_ + "/parts";
    ::mkdir(folder_.c_str(), 0755);
    ::mkdir(parts.c_str(), 0755);
    ::mkdir(path().c_str(), 0755);
    parts_mounted_ = ::mount("none", parts.c_str(), "tmpfs", 0, nullptr) == 0;
    if (!parts_mounted_) return;
    for (const char* name : {"/lower", "/upper", "/work"}) ::mkdir((parts + name).c_str(), 0755);
    const std::string options =
        "lowerdir=" + parts + "/lower,upperdir=" + parts + "/upper,workdir=" + parts + "/work";
    mounted_ = ::mount("none", path().c_str(), "overlay", 0, options.c_str()) == 0;
  }
  ~Overlay() {
    if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
    if (parts_mounted_) ::umount2((folder_ + "/parts").c_str(), MNT_DETACH);
  }
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  [[nodiscard]] std::string missing() const { return mounted_ ? "" : "needs overlayfs"; }
  [[nodiscard]] std::string path() const { return folder_ + "/merged"; }

 private:
  const std::string folder_;
  bool parts_mounted_ = false;
  bool mounted_ = false;
};

// The kernel reads a file by itself only if it was told how many file systems lie on one another
// where the cache is.
TEST_F(Mount, OfACacheOnAStackedFileSystemTheKernelReadsByItself) {
  const Overlay overlay(temp_ / "overlay");
  NETFS_TEST_NEEDS(overlay.missing());
  write_file(source_ + "/file", pattern(8, 0, 300'000));
  NetfsMount::Options stacked = options({"--hot", "0s"});
  stacked.cache_dir = overlay.path() + "/cache";
  NetfsMount mount(stacked, temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  EXPECT_TRUE(same_bytes(mount.path() + "/file", source_ + "/file"));
  ASSERT_TRUE(wait_until([&] { return mount.status_number("sealed_count") >= 1; },
                         std::chrono::seconds(60)))
      << mount.status();
  drop_pages(mount.path() + "/file");
  EXPECT_TRUE(same_bytes(mount.path() + "/file", source_ + "/file"));
  EXPECT_GE(mount.status()["mounts"][0]["opens"]["passthrough"], 1) << mount.status();
  EXPECT_TRUE(mount.unmount()) << mount.log();
}

// Two mounts name one volume: the second shares the cache through its owner or says in one line why
// not; both show the right bytes under load, and the cache afterwards is whole.
TEST_F(Mount, TwoMountsOfOneVolumeDoNotHarmEachOther) {
  constexpr unsigned kFiles = 8;
  for (unsigned i = 0; i < kFiles; ++i) {
    write_file(source_ + "/file" + std::to_string(i), pattern(i, 0, (2 << 20) + i));
  }
  const auto read_all = [&](const NetfsMount& mount) {
    for (unsigned i = 0; i < kFiles; ++i) {
      const std::string name = "/file" + std::to_string(i);
      const testing::AssertionResult same = same_bytes(mount.path() + name, source_ + name);
      if (!same) ADD_FAILURE() << same.message();
    }
  };
  NetfsMount first(options({"--hot", "0s"}), temp_);
  ASSERT_TRUE(first.ready()) << first.log();
  NetfsMount::Options same_cache = options({"--hot", "0s"});
  same_cache.name = "second";
  NetfsMount second(same_cache, temp_);
  const Watchdog watchdog(kBound, [&] {
    first.abort();
    second.abort();
  });
  if (second.ready()) {
    const sync::Thread other("second", [&] { read_all(second); });
    read_all(first);
  } else {
    EXPECT_TRUE(second.says("cache")) << "a refusal must say why: " << second.log();
    read_all(first);
  }
  if (second.ready()) {
    EXPECT_TRUE(second.unmount()) << second.log();
  }
  read_all(first);
  EXPECT_TRUE(first.unmount()) << first.log();
}

// The supervisor starts another worker on the same connection: the mount is there all the time, and
// names can be opened again.
TEST_F(Mount, AKilledWorkerIsReplacedAndTheMountGoesOn) {
  write_file(source_ + "/file", pattern(5, 0, 1 << 20));
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  ASSERT_TRUE(same_bytes(mount.path() + "/file", source_ + "/file"));
  for (unsigned round = 0; round < 3; ++round) {
    const pid_t worker = mount.worker();
    ASSERT_EQ(kill_process(worker, SIGKILL), 0);
    EXPECT_TRUE(
        wait_until([&] { return bool(same_bytes(mount.path() + "/file", source_ + "/file")); },
                   std::chrono::seconds(60)))
        << "round " << round << ": " << mount.log();
    EXPECT_TRUE(mount.mounted());
    EXPECT_NE(mount.worker(), worker);
  }
}

// The origin goes away in mid-read and comes back: errors within the time-out, never wrong bytes,
// never a hang.
TEST_F(Mount, AnOriginThatDiesGivesErrorsInTimeAndComesBack) {
  NETFS_TEST_NEEDS(program("sshd"));
  write_file(source_ + "/file", pattern(6, 0, 8 << 20));
  write_file(source_ + "/other", pattern(7, 0, 8 << 20));
  TestSshd sshd(temp_);
  ASSERT_TRUE(sshd.ready()) << sshd.log();
  std::vector<std::string> more = sshd.mount_options();
  more.insert(more.end(), {"--timeout", "5s", "--metadata-ttl", "0s"});
  NetfsMount mount({.url = sshd.url(source_), .cache_dir = temp_ / "cache", .more = more}, temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  ASSERT_TRUE(same_bytes(mount.path() + "/file", source_ + "/file"));
  sshd.stop();
  const MonoTime began = Clock::system().now();
  const Result<std::string> lost = read_whole(mount.path() + "/other");
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(60));
  EXPECT_FALSE(lost.ok()) << "nobody can have answered";
  ASSERT_TRUE(sshd.start_again()) << sshd.log();
  EXPECT_TRUE(
      wait_until([&] { return bool(same_bytes(mount.path() + "/other", source_ + "/other")); },
                 std::chrono::seconds(60)))
      << mount.log();
}

}  // namespace
}  // namespace netfs::test
