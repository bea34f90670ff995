// Goal: a mount ends when it is told to, and says what is the matter, whichever of its processes
// dies and whenever: workers killed in quick succession, while mounting, while unmounting, after
// the end of their last mount; the supervisor; both.
//
// While a worker is being replaced calls may fail; none may hang.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "daemon/control_socket.h"
#include "daemon/runtime_dir.h"
#include "sync/thread.h"
#include "tests/crash/user.h"
#include "tests/crash/without_worker.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr unsigned kFiles = 6;
constexpr uint64_t kFileBytes = 300000;
constexpr unsigned kReaders = 2;
constexpr std::chrono::seconds kEndTime{30};   // what a user may wait for an unmount
constexpr std::chrono::seconds kSoonTime{15};  // where nobody has anything to wait for

class Handover : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    random_.seed(test_seed());
    source_ = temp_.make_dir("source");
    for (unsigned i = 0; i < kFiles; ++i) {
      write_file(source_ + name(i), pattern(i, 0, kFileBytes + i));
    }
  }

  void rescue() const {
    std::fprintf(stderr, "the mount's log:\n%s", read_text(temp_ / "mnt.log").c_str());
    abort_mount(temp_ / "mnt");
  }

  static std::string name(unsigned i) { return "/file" + std::to_string(i); }

  [[nodiscard]] NetfsMount::Options options() const {
    return {.url = "file://" + source_,
            .cache_dir = temp_ / "cache",
            .more = {"--hot", "0s", "--metadata-ttl", "1s"}};
  }

  void wait_a_random_while(unsigned most_ms) {
    const auto until = Clock::system().now() + std::chrono::milliseconds(random_() % most_ms);
    wait_until([&] { return Clock::system().now() >= until; }, std::chrono::seconds(1));
  }

  // Whoever serves now, and whatever it is doing.  Not waited for.
  // Nobody but the worker: who kills the child that unmounts, too, has to ask for it again.
  static void kill_worker(const NetfsMount& mount) {
    for (const pid_t child : children_of(mount.supervisor())) {
      const std::string name = read_text("/proc/" + std::to_string(child) + "/comm");
      // "exe": it is being started.
      if (name == "netfs-worker\n" || name == "exe\n") kill_process(child, SIGKILL);
    }
  }

  // Of a mount that is not up yet: by its name, among the children of our children; -1: none.
  static pid_t any_worker() {
    for (const pid_t supervisor : children_of(::getpid())) {
      for (const pid_t child : children_of(supervisor)) {
        if (read_text("/proc/" + std::to_string(child) + "/comm") == "netfs-worker\n") return child;
      }
    }
    return -1;
  }

  // As /proc tells it: 'S' sleeps, 'D' cannot be killed; 0: there is no such thread.
  static char thread_state(pid_t pid, const std::string& thread) {
    std::error_code gone;
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
      const std::string stat = read_text(task.path() / "stat");
      const size_t at = stat.find("(" + thread + ") ");
      if (at != std::string::npos) return stat[at + thread.size() + 3];
    }
    return 0;
  }

  static bool is_reading(const NetfsMount& mount) {
    const nlohmann::json status = mount.status();
    return status.is_object() && !status["mounts"][0]["library_requests"].empty();
  }

  void kill_workers(const NetfsMount& mount, unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
      kill_worker(mount);
      wait_a_random_while(40);
    }
  }

  void read_until(const std::atomic<bool>& stop, const std::string& path, uint64_t seed,
                  std::atomic<unsigned>& wrong) const {
    std::mt19937_64 random(seed);
    while (!stop) {
      const unsigned pick = random() % kFiles;
      const ByteRange range{random() % kFileBytes, 1 + random() % 100000};
      const Result<std::string> got = read_range(path + name(pick), range);
      if (got.ok() && got.value() != read_range(source_ + name(pick), range).value()) ++wrong;
    }
  }

  void kill_under_load(const NetfsMount& mount) {
    std::atomic<bool> stop{false};
    std::atomic<unsigned> wrong{0};
    {
      std::vector<sync::Thread> readers;
      for (unsigned i = 0; i < kReaders; ++i) {
        readers.emplace_back("reader-" + std::to_string(i), [&, seed = random_()] {
          read_until(stop, mount.path(), seed, wrong);
        });
      }
      wait_a_random_while(200);
      kill_workers(mount, 1 + random_() % 3);
      stop = true;
    }
    EXPECT_EQ(wrong, 0u);
  }

  // One life of a mount, its workers killed at random; in every second one also while it ends.
  void one_round(unsigned round) {
    NetfsMount mount(options(), temp_);
    ASSERT_TRUE(mount.ready()) << mount.log();
    kill_under_load(mount);
    std::atomic<bool> ended{false};
    const sync::Thread killer("killer", [&, times = random_() % 3] {
      for (unsigned i = 0; round % 2 == 1 && i < times && !ended; ++i) {
        wait_until([&] { return ended.load(); }, std::chrono::milliseconds(15));
        kill_worker(mount);
      }
    });
    EXPECT_TRUE(mount.unmount(kEndTime)) << "round " << round << ": " << mount.log();
    ended = true;
  }

  void rounds(unsigned count) {
    for (unsigned round = 0; round < count && !HasFailure(); ++round) {
      const Watchdog watchdog(std::chrono::seconds(90), [&] { rescue(); });
      one_round(round);
    }
  }

  static void kill_all(const NetfsMount& mount) {
    const pid_t worker = mount.worker();
    // It must not find out that it is alone: it would unmount.
    ASSERT_EQ(kill_process(worker, SIGSTOP), 0);
    ASSERT_EQ(kill_process(mount.supervisor(), SIGKILL), 0);
    ASSERT_EQ(kill_process(worker, SIGKILL), 0);
    EXPECT_TRUE(wait_until([&] { return read_whole(mount.path() + name(0)).is_error(ENOTCONN); },
                           kSoonTime));
    const auto ended = [&] { return has_ended(worker) && has_ended(mount.supervisor()); };
    EXPECT_TRUE(wait_until(ended, kSoonTime)) << "the connection may end before the socket";
  }

  // Somebody who connects to the daemon, and then says nothing.
  [[nodiscard]] Result<UniqueFd> connect_idly() const {
    const std::string directory = TRY(daemon::runtime_dir());
    const std::string owner = TRY(daemon::owner_name(temp_ / "cache"));
    UniqueFd socket = TRY(daemon::connect_control(daemon::owner_paths(directory, owner).socket));
    TRY(daemon::receive_message(socket.get(), Deadline::after(Clock::system(), kSoonTime)));
    return socket;
  }

  TempDir temp_;
  std::mt19937_64 random_;
  std::string source_;
};

TEST_F(Handover, AMountWhoseWorkersAreKilledInQuickSuccessionEndsInTime) {
  rounds(12);
}

TEST_F(Handover, AMountWhoseWorkersAreKilledInQuickSuccessionEndsInTimeInManyRounds) {
  rounds(200);
}

// Another command of the user, which asks each daemon in turn and stands at this one's door.
TEST_F(Handover, AUserWhoConnectsAndSaysNothingDoesNotHoldUpTheEnd) {
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Result<UniqueFd> idle = connect_idly();
  ASSERT_TRUE(idle.ok()) << idle.error().message();
  EXPECT_TRUE(mount.unmount(kSoonTime)) << mount.log();
}

// Its successor finds nothing to serve and must not wait for somebody to bring a mount.
TEST_F(Handover, AWorkerKilledAfterItsLastMountEndedLeavesNobodyBehind) {
  bool killed = false;
  for (unsigned attempt = 0; attempt < 5 && !killed; ++attempt) {
    NetfsMount mount(options(), temp_);
    ASSERT_TRUE(mount.ready()) << mount.log();
    const pid_t worker = mount.worker();
    const Result<UniqueFd> idle = connect_idly();  // so that it does not end at once
    ASSERT_TRUE(idle.ok()) << idle.error().message();
    ASSERT_EQ(run({netfs_binary(), "umount", mount.path()}, kSoonTime).status, 0) << mount.log();
    killed = kill_process(worker, SIGKILL) == 0;
    EXPECT_TRUE(mount.unmount(kSoonTime)) << mount.log();
  }
  EXPECT_TRUE(killed) << "the worker had always ended before: the test proves nothing";
}

// `netfs mount` asks the next worker; nothing half mounted is left.
TEST_F(Handover, AWorkerKilledWhileItMountsIsReplacedAndTheMountComes) {
  for (unsigned round = 0; round < 10 && !HasFailure(); ++round) {
    const Watchdog watchdog(std::chrono::seconds(90), [&] { rescue(); });
    std::atomic<bool> ready{false};
    const sync::Thread killer("killer", [&, wait = random_() % 120] {
      const MonoTime until = Clock::system().now() + std::chrono::milliseconds(wait);
      wait_until([&] { return Clock::system().now() >= until; }, std::chrono::seconds(1));
      wait_until(
          [&] {
            const pid_t worker = any_worker();
            return ready || (worker > 0 && kill_process(worker, SIGKILL) == 0);
          },
          kSoonTime);
    });
    NetfsMount mount(options(), temp_);
    ready = true;
    EXPECT_TRUE(mount.ready()) << mount.log();
    EXPECT_TRUE(wait_until(
        [&] { return bool(same_bytes(mount.path() + name(1), source_ + name(1))); }, kSoonTime))
        << mount.log();
    EXPECT_TRUE(mount.unmount(kEndTime)) << mount.log();
  }
}

// The kernel, told to forget a page that is being read, keeps whoever told it until the read is
// answered: a worker killed just then cannot end before its successor answers, which needs the
// cache and the journal that the dead one had locked.
TEST_F(Handover, AWorkerKilledWhileItTellsTheKernelToForgetIsReplacedAndTheReadGoesOn) {
  NetfsMount::Options slow = options();
  slow.more = {"--hot", "0s", "--metadata-ttl", "60s", "--simulate", "rtt=3000ms", "--write=back"};
  NetfsMount mount(slow, temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(std::chrono::seconds(90), [&] { rescue(); });
  const pid_t worker = mount.worker();
  std::atomic<bool> read_ended{false};
  bool right = false;
  {
    const sync::Thread reader("reader", [&] {
      right = bool(same_bytes(mount.path() + name(0), source_ + name(0)));
      read_ended = true;
    });
    EXPECT_TRUE(wait_until([&] { return is_reading(mount); }, kSoonTime));
    Process drop(
        {netfs_binary(), "cache", "drop", mount.path() + name(0), "--cache-dir", temp_ / "cache"},
        temp_ / "drop.log");
    const bool stuck = wait_until(
        [&] { return thread_state(worker, "netfs-notify") == 'D' || read_ended; }, kSoonTime);
    EXPECT_TRUE(stuck && !read_ended) << "it was not caught in the act: the test proves nothing";
    EXPECT_EQ(kill_process(worker, SIGKILL), 0);
    EXPECT_TRUE(wait_until([&] { return kill_process(worker, 0) != 0; }, kSoonTime));
  }
  EXPECT_TRUE(right) << "it was not read to its end";
  EXPECT_TRUE(mount.says("while it told the kernel to forget what somebody waits for"))
      << mount.log();
  EXPECT_TRUE(mount.unmount(kEndTime)) << mount.log();
}

TEST_F(Handover, WhenTheSupervisorIsKilledTheMountEndsWithIt) {
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const pid_t worker = mount.worker();
  ASSERT_EQ(kill_process(mount.supervisor(), SIGKILL), 0);
  EXPECT_TRUE(wait_until([&] { return !mount.mounted(); }, kSoonTime)) << mount.log();
  EXPECT_TRUE(wait_until([&] { return kill_process(worker, 0) != 0; }, kSoonTime)) << mount.log();
}

// Nobody goes on waiting for a worker that has ended; and what was synced is at the origin.
TEST_F(Handover, WhenTheSupervisorIsKilledWhoReadsAndWhoWritesIsToldSo) {
  NetfsMount::Options by_close = options();
  by_close.more.insert(by_close.more.end(), {"--write=close", "--simulate", "rtt=5ms"});
  NetfsMount mount(by_close, temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(std::chrono::seconds(90), [&] { rescue(); });
  const UniqueFd read(::open((mount.path() + name(0)).c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd log(
      ::open((mount.path() + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  std::string bytes(kFileBytes, '\0');
  User reader("reader", random_(), [&](std::mt19937_64&) -> std::string {
    ::posix_fadvise(read.get(), 0, 0, POSIX_FADV_DONTNEED);
    return ::pread(read.get(), bytes.data(), kFileBytes, 0) < 0 ? strerrorname_np(errno) : "";
  });
  User writer("writer", random_(), [&](std::mt19937_64&) -> std::string {
    const bool synced = ::write(log.get(), "line\n", 5) == 5 && ::fsync(log.get()) == 0;
    return synced ? "" : strerrorname_np(errno);
  });
  EXPECT_TRUE(wait_until([&] { return reader.rounds() > 3 && writer.rounds() > 3; }, kSoonTime));
  ASSERT_EQ(kill_process(mount.supervisor(), SIGKILL), 0);
  for (const User* user : {&reader, &writer}) {
    // What was under way when it ended, and what came after that.
    ASSERT_TRUE(wait_until([&] { return user->ended(); }, kSoonTime)) << mount.log();
    EXPECT_TRUE(user->wrong() == "ECONNABORTED" || user->wrong() == "ENOTCONN") << user->wrong();
  }
  EXPECT_FALSE(mount.mounted());
  const uint64_t synced = writer.rounds() - 1;
  EXPECT_GE(read_text(source_ + "/log").size(), 5 * synced) << "nothing acknowledged is lost";
}

TEST_F(Handover, WhenAllAreKilledStatusSaysSoInALineAndUmountCleansUp) {
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  ASSERT_NO_FATAL_FAILURE(kill_all(mount));
  const Finished status = run({netfs_binary(), "status", mount.path()}, kSoonTime);
  EXPECT_NE(status.status, 0);
  EXPECT_EQ(std::count(status.output.begin(), status.output.end(), '\n'), 1) << status.output;
  EXPECT_NE(status.output.find("no daemon answers for it"), std::string::npos) << status.output;
  const Finished umount = run({netfs_binary(), "umount", mount.path()}, kSoonTime);
  EXPECT_EQ(umount.status, 0) << umount.output;
  EXPECT_FALSE(mount.mounted());
}

TEST_F(Handover, WhenAllAreKilledTheNextMountCleansUpAndSaysSo) {
  NetfsMount dead(options(), temp_);
  ASSERT_TRUE(dead.ready()) << dead.log();
  const UniqueFd open(::open((dead.path() + name(0)).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_NO_FATAL_FAILURE(kill_all(dead));
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const std::string said = "a netfs that died had file://" + source_ + " mounted on ";
  EXPECT_TRUE(mount.says(said + mount.path())) << mount.log();
  EXPECT_TRUE(same_bytes(mount.path() + name(0), source_ + name(0)));
  EXPECT_TRUE(mount.unmount(kEndTime)) << mount.log();
  EXPECT_FALSE(mount.mounted()) << "the dead one was below it";
}

// It may only be busy, and is somebody's.
TEST_F(Handover, AMountWhoseDaemonHangsIsNotTakenForADeadOne) {
  NetfsMount mount(options(), temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  {
    const Stopped supervisor(mount.supervisor());
    const Stopped worker(mount.worker());
    const Finished second = run({netfs_binary(), "mount", "file://" + source_, mount.path(),
                                 "--cache-dir", temp_ / "another"},
                                kEndTime);
    EXPECT_EQ(second.status, 32) << second.output;
    EXPECT_NE(second.output.find("already"), std::string::npos) << second.output;
    EXPECT_TRUE(mount.mounted());
  }
  EXPECT_TRUE(same_bytes(mount.path() + name(0), source_ + name(0)));
  EXPECT_TRUE(mount.unmount(kEndTime)) << mount.log();
}

// What was synced into the journal waits there for whoever mounts it next.
TEST_F(Handover, WhatWasWrittenBackComesToTheOriginAfterAllWereKilled) {
  constexpr unsigned kNew = 2;
  NetfsMount::Options slow = options();
  slow.more = {"--write=back", "--bwlimit=32K:off"};
  NetfsMount dead(slow, temp_);
  ASSERT_TRUE(dead.ready()) << dead.log();
  for (unsigned i = 0; i < kNew; ++i) {
    const UniqueFd fd(
        ::open((dead.path() + "/new" + std::to_string(i)).c_str(), O_RDWR | O_CREAT, 0644));
    const std::string bytes = pattern(70 + i, 0, kFileBytes);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), kFileBytes, 0), static_cast<ssize_t>(kFileBytes));
    ASSERT_EQ(::fsync(fd.get()), 0);
  }
  ASSERT_NO_FATAL_FAILURE(kill_all(dead));
  const std::string last = source_ + "/new" + std::to_string(kNew - 1);
  EXPECT_NE(::access(last.c_str(), F_OK), 0) << "it was brought before: the test proves nothing";
  slow.more = {"--write=back"};
  NetfsMount mount(slow, temp_);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Finished sync = run({netfs_binary(), "sync", mount.path()}, kEndTime);
  EXPECT_EQ(sync.status, 0) << sync.output;
  for (unsigned i = 0; i < kNew; ++i) {
    const std::string path = source_ + "/new" + std::to_string(i);
    const Result<std::string> bytes = read_whole(path);
    EXPECT_TRUE(bytes.ok() && bytes.value() == pattern(70 + i, 0, kFileBytes)) << path;
  }
  EXPECT_TRUE(mount.unmount(kEndTime)) << mount.log();
}

}  // namespace
}  // namespace netfs::test
