// Goal: locks of programs on a mount of a folder outlive the worker that serves it: whenever it is
// killed, nobody else gets what somebody holds, on the mount or beside it; and where that cannot be
// had, who has lost his lock is told.
//
// Method: processes on the mount and one in the folder itself, each of which locks a file for
// itself, counts who is inside, and adds one to a number in the file.

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <new>
#include <poll.h>
#include <sys/mman.h>
#include <utility>

#include "base/kill_process.h"
#include "tests/crash/lock_way.h"
#include "tests/crash/without_worker.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kPauseMax{60};

using Way = LockWay;

std::string file_of(Way way) {
  return "locked" + std::to_string(static_cast<int>(way));
}

constexpr size_t kUsersMax = 9;
// What the processes share.
struct Shared {
  std::atomic<bool> go{false};  // all have opened their files
  std::atomic<bool> stop{false};
  struct User {
    std::atomic<bool> opened{false};
    std::atomic<uint64_t> rounds{0};
    std::atomic<int> error{0};         // of a call that failed
    std::atomic<const char*> wrong{};  // which
  };
  std::array<User, kUsersMax> users;
  std::array<std::atomic<int>, 3> inside{};  // of each way
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

class Users {
 public:
  Users()
      : shared_(new (::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared) {}
  ~Users() {
    for (const pid_t pid : pids_) {
      kill_process(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    ::munmap(shared_, sizeof(Shared));
  }
  Users(const Users&) = delete;
  Users& operator=(const Users&) = delete;

  // `counts`: adds to the number that the file holds.
  void start(const std::string& path, Way way, bool counts) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      work(shared_->users[pids_.size()], path, way, counts);
      ::_exit(0);
    }
    pids_.push_back(pid);
    ways_.push_back(way);
  }
  // Once each has opened its file: an open finds another version of one that others change, and
  // that is not what is looked at here.
  void go() {
    const auto all_opened = [this] {
      for (size_t i = 0; i < pids_.size(); ++i) {
        if (!shared_->users[i].opened) return false;
      }
      return true;
    };
    EXPECT_TRUE(wait_until([&] { return all_opened() || any_wrong(); }, kPauseMax));
    shared_->go = true;
  }
  // Each has ended a round, since `before` says how many they had.
  [[nodiscard]] bool moved_since(const std::vector<uint64_t>& before) const {
    for (size_t i = 0; i < pids_.size(); ++i) {
      if (shared_->users[i].rounds == before[i]) return false;
    }
    return true;
  }
  [[nodiscard]] std::vector<uint64_t> rounds() const {
    std::vector<uint64_t> all;
    for (size_t i = 0; i < pids_.size(); ++i) all.push_back(shared_->users[i].rounds);
    return all;
  }
  [[nodiscard]] bool any_wrong() const {
    for (size_t i = 0; i < pids_.size(); ++i) {
      if (shared_->users[i].wrong != nullptr) return true;
    }
    return false;
  }
  // The rounds by each way.
  std::array<uint64_t, 3> stop_and_expect_fine() {
    std::array<uint64_t, 3> rounds{};
    shared_->stop = true;
    for (size_t i = 0; i < pids_.size(); ++i) {
      ::waitpid(pids_[i], nullptr, 0);
      rounds[static_cast<size_t>(ways_[i])] += shared_->users[i].rounds;
      const char* wrong = shared_->users[i].wrong;
      EXPECT_EQ(wrong, nullptr) << "user " << i << ": " << (wrong == nullptr ? "" : wrong) << ": "
                                << strerror(shared_->users[i].error);
      EXPECT_GT(shared_->users[i].rounds, 0U) << "user " << i;
    }
    pids_.clear();
    return rounds;
  }

 private:
  void work(Shared::User& user, const std::string& path, Way way, bool counts) {
    const auto failed = [&user](const char* what, int error) {
      user.error = error;
      user.wrong = what;
    };
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return failed("open", errno);
    user.opened = true;
    while (!shared_->go) ::poll(nullptr, 0, 1);
    std::atomic<int>& inside = shared_->inside[static_cast<size_t>(way)];
    while (!shared_->stop) {
      int error = 0;
      do {
        error = set_lock(fd, way, /*waits=*/true, LOCK_EX);
      } while (error == EINTR);
      if (error != 0) return failed("lock", error);
      if (inside.fetch_add(1) != 0) return failed("two are inside", 0);
      uint64_t number = 0;
      if (counts && ::pread(fd, &number, sizeof number, 0) != sizeof number) {
        return failed("read", errno);
      }
      ++number;
      if (counts && ::pwrite(fd, &number, sizeof number, 0) != sizeof number) {
        return failed("write", errno);
      }
      inside.fetch_sub(1);
      error = set_lock(fd, way, /*waits=*/true, LOCK_UN);
      if (error != 0) return failed("unlock", error);
      user.rounds.fetch_add(1);
      ::poll(nullptr, 0, 2);  // he has other things to do, so that others get it too
    }
    if (::close(fd) != 0) failed("close", errno);
  }

  Shared* const shared_;
  std::vector<pid_t> pids_;
  std::vector<Way> ways_;
};

class LockSurvival : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
    for (const Way way : kLockWays) write_file(there(way), std::string(8, '\0'));
  }
  void mount_it(std::vector<std::string> in_front = {}) {
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{.url = "file://" + source_,
                            .cache_dir = temp_ / "cache",
                            .more = {std::string("--write=") + GetParam()},
                            .in_front = std::move(in_front)},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
  }
  [[nodiscard]] bool uploads_later() const { return std::string_view(GetParam()) == "back"; }
  [[nodiscard]] std::string here(Way way) const { return mount_->path() + "/" + file_of(way); }
  [[nodiscard]] std::string there(Way way) const { return source_ + "/" + file_of(way); }

  void kill_worker() {
    const pid_t worker = mount_->worker();
    ASSERT_GT(worker, 0);
    ASSERT_EQ(kill_process(worker, SIGKILL), 0);
    ASSERT_TRUE(
        wait_until([&] { return mount_->worker() > 0 && mount_->worker() != worker; }, kPauseMax));
  }
  [[nodiscard]] int64_t lost() const {
    return mount_->status()["mounts"][0]["locks"]["lost"].get<int64_t>();
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<NetfsMount> mount_;
};

TEST_P(LockSurvival, KillsNeverMakeTwoHoldersAndCostNobodyHisLock) {
  mount_it();
  const Watchdog watchdog(kills_bound(), [&] { abort_mount(temp_ / "mnt"); });
  Users users;
  for (const Way way : kLockWays) {
    for (int i = 0; i < 2; ++i) users.start(here(way), way, !uploads_later());
    users.start(there(way), way, !uploads_later());
  }
  users.go();
  const MonoTime end = Clock::system().now() + run_time();
  unsigned kills = 0;
  MonoTime next_kill;
  while ((Clock::system().now() < end || kills < kills_wanted()) && !users.any_wrong()) {
    const std::vector<uint64_t> before = users.rounds();
    ASSERT_TRUE(
        wait_until([&] { return users.moved_since(before) || users.any_wrong(); }, kPauseMax))
        << mount_->log();
    (void)wait_until([&] { return Clock::system().now() >= next_kill; }, std::chrono::seconds(1));
    next_kill = Clock::system().now() + kBetweenKills;
    ASSERT_NO_FATAL_FAILURE(kill_worker());
    ++kills;
  }
  const std::array<uint64_t, 3> counted = users.stop_and_expect_fine();
  std::printf("%u kills\n", kills);
  EXPECT_GE(kills, kills_wanted()) << "it proves little";
  EXPECT_EQ(lost(), 0);
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  for (const Way way : kLockWays) {
    uint64_t number = 0;
    const UniqueFd file = open_file(there(way), O_RDONLY);
    EXPECT_EQ(::pread(file.get(), &number, sizeof number, 0), static_cast<ssize_t>(sizeof number));
    EXPECT_EQ(number, uploads_later() ? 0 : counted[static_cast<size_t>(way)]) << file_of(way);
  }
}

TEST_P(LockSurvival, WhatIsHeldIsNobodyElsesWhileNoWorkerLives) {
  mount_it();
  const Watchdog watchdog(kBound, [&] { abort_mount(temp_ / "mnt"); });
  for (const Way way : {Way::kFlock, Way::kDescription}) {
    const UniqueFd holds = open_file(here(way), O_RDWR);
    const UniqueFd beside = open_file(there(way), O_RDWR);
    ASSERT_EQ(set_lock(holds.get(), way, false, LOCK_EX), 0);
    for (int i = 0; i < 3; ++i) {
      without_worker(*mount_,
                     [&] { EXPECT_EQ(set_lock(beside.get(), way, false, LOCK_SH), EAGAIN); });
      EXPECT_EQ(set_lock(beside.get(), way, false, LOCK_SH), EAGAIN);
      EXPECT_EQ(::pwrite(holds.get(), "x", 1, 0), 1);
    }
    EXPECT_EQ(code(::fsync(holds.get())), 0);
    EXPECT_EQ(set_lock(holds.get(), way, false, LOCK_UN), 0);
    EXPECT_EQ(set_lock(beside.get(), way, false, LOCK_EX), 0) << "by whoever keeps its descriptor";
  }
  EXPECT_EQ(lost(), 0);
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
}

TEST_P(LockSurvival, WhoDiesWhileNoWorkerLivesHasGivenBackHisLocks) {
  mount_it();
  const Watchdog watchdog(kBound, [&] { abort_mount(temp_ / "mnt"); });
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    int error = 0;
    for (const Way way : kLockWays) {
      const int fd = ::open(here(way).c_str(), O_RDWR | O_CLOEXEC);
      if (fd < 0 || set_lock(fd, way, false, LOCK_EX) != 0) error = EIO;
    }
    if (::write(ready[1], &error, sizeof error) == sizeof error) ::pause();
    ::_exit(0);
  }
  int error = -1;
  ASSERT_EQ(::read(ready[0], &error, sizeof error), static_cast<ssize_t>(sizeof error));
  EXPECT_EQ(error, 0);
  std::vector<UniqueFd> beside;
  for (const Way way : kLockWays) {
    beside.push_back(open_file(there(way), O_RDWR));
    EXPECT_EQ(set_lock(beside.back().get(), way, false, LOCK_SH), EAGAIN);
  }
  without_worker(*mount_, [&] {
    EXPECT_EQ(kill_process(holder, SIGKILL), 0);
    for (const Way way : kLockWays) {
      EXPECT_EQ(set_lock(beside[static_cast<size_t>(way)].get(), way, false, LOCK_SH), EAGAIN);
    }
  });
  ::waitpid(holder, nullptr, 0);
  for (const int end : ready) ::close(end);
  for (const Way way : kLockWays) {
    EXPECT_TRUE(wait_until(
        [&] { return set_lock(beside[static_cast<size_t>(way)].get(), way, false, LOCK_EX) == 0; },
        kPauseMax))
        << file_of(way);
  }
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
}

// The supervisor has no room for descriptors: so a lock ends with its worker.  Somebody else has it
// then, and keeps it, or has given it back before there is another worker.
TEST_P(LockSurvival, WhoLosesHisLockIsToldByEveryUseOfIt) {
  mount_it({"/usr/bin/prlimit", "--nofile=256:256"});
  const Watchdog watchdog(kBound, [&] { abort_mount(temp_ / "mnt"); });
  for (const bool stays : {true, false}) {
    for (const Way way : {Way::kFlock, Way::kDescription}) {
      SCOPED_TRACE(file_of(way) + (stays ? ", he stays" : ", he was there"));
      UniqueFd holds = open_file(here(way), O_RDWR);
      const UniqueFd other = open_file(here(way), O_RDWR);
      ASSERT_EQ(set_lock(holds.get(), way, false, LOCK_EX), 0);
      const UniqueFd beside = open_file(there(way), O_RDWR);
      without_worker(*mount_, [&] {
        EXPECT_EQ(set_lock(beside.get(), way, false, LOCK_EX), 0);
        if (!stays) {
          EXPECT_EQ(set_lock(beside.get(), way, false, LOCK_UN), 0);
        }
      });
      char byte = 0;
      EXPECT_EQ(code(::pread(holds.get(), &byte, 1, 0)), EIO);
      EXPECT_EQ(code(::pwrite(holds.get(), "x", 1, 0)), EIO);
      EXPECT_EQ(code(::fsync(holds.get())), EIO);
      EXPECT_EQ(code(::ftruncate(holds.get(), 0)), EIO);
      EXPECT_EQ(set_lock(holds.get(), way, false, LOCK_SH), EIO);
      EXPECT_EQ(code(::pread(other.get(), &byte, 1, 0)), 0) << "he had none";
      EXPECT_EQ(code(::close(holds.release())), EIO);
      EXPECT_EQ(set_lock(other.get(), way, false, LOCK_SH), stays ? EAGAIN : 0);
      EXPECT_EQ(set_lock(beside.get(), way, false, LOCK_UN), 0);
      EXPECT_EQ(set_lock(other.get(), way, false, LOCK_SH), 0);
    }
  }
  EXPECT_EQ(lost(), 1) << "by the last worker";
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
}

INSTANTIATE_TEST_SUITE_P(Written, LockSurvival, testing::Values("through", "close", "back"),
                         [](const auto& mode) { return std::string(mode.param); });

}  // namespace
}  // namespace netfs::test
