// Goal: who uses a mount does not see that another program serves it from now on; and a program
// that cannot do that leaves the one that does in its place.
//
// Method: a real mount that is read and written all the time, and `netfs upgrade` to netfs-next,
// which is this netfs under another version and with another arena, and back; then to whatever else
// may lie there.

#include <atomic>
#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <sys/file.h>

#include "base/kill_process.h"
#include "daemon/version.h"
#include "sync/thread.h"
#include "tests/crash/upgrade_fixture.h"

namespace netfs::test {
namespace {

class UpgradeBackAndForth : public Upgrade, public testing::WithParamInterface<Mode> {
 protected:
  void SetUp() override {
    random_.seed(test_seed());
    set_up(GetParam());
  }

  // Whoever serves is killed once meanwhile: before it is told to end, while it ends, or the next
  // one, while it starts or is on trial.
  [[nodiscard]] Finished upgrade_and_kill(const std::string& program) {
    const sync::Thread killer("killer", [&, wait = random_() % 3000] {
      const MonoTime until = Clock::system().now() + std::chrono::milliseconds(wait);
      (void)wait_until([&] { return Clock::system().now() >= until; }, kPatience);
      (void)wait_until(
          [&] {
            const pid_t worker = mount_->worker();
            return worker > 0 && kill_process(worker, SIGKILL) == 0;
          },
          kPatience);
    });
    return upgrade_to(program);
  }

  void expect_served_by(bool next) {
    const std::string program = next ? NETFS_TEST_NEXT_BINARY : netfs_binary();
    const char* version = next ? "next" : daemon::kVersion;
    EXPECT_TRUE(wait_until([&] { return program_of_supervisor() == program; }, kPatience))
        << program_of_supervisor();
    nlohmann::json told;
    EXPECT_TRUE(wait_until(
        [&] {
          told = status_of(mount_->path());
          return told.is_object() && told["supervisor_netfs"] == version;
        },
        kPatience));
    ASSERT_TRUE(told.is_object()) << mount_->log();
    EXPECT_EQ(told["netfs"], version);
    EXPECT_EQ(told["supervisor_pid"], mount_->supervisor());
    EXPECT_TRUE(wait_until([&] { return additions_of_arena() == (next ? 1 : 0); }, kPatience))
        << "its arena has the other one's form: " << additions_of_arena();
  }

  std::mt19937_64 random_;
};

TEST_P(UpgradeBackAndForth, BetweenTwoVersionsAndTwoArenasNoCallFails) {
  unsigned done = 0;
  bool next = false;
  for (unsigned i = 0; done < number_of_upgrades() && !HasFailure(); ++i) {
    const std::string program = next ? netfs_binary() : NETFS_TEST_NEXT_BINARY;
    const pid_t worker = mount_->worker();
    const bool killed = i % 3 == 2;
    const size_t said_before = mount_->log().size();
    const Finished finished = killed ? upgrade_and_kill(program) : upgrade_to(program);
    if (!killed || finished.status != 32) {
      ASSERT_EQ(finished.status, 0) << finished.output << mount_->log();
      next = !next;
      ++done;
    }
    let_all_go_on();
    if (!killed) {
      EXPECT_NE(mount_->worker(), worker);
      EXPECT_EQ(mount_->log().find("worker does not end", said_before), std::string::npos)
          << "it was told to end in order, and was killed: " << mount_->log();
    }
    expect_served_by(next);
  }
  // The worker of a supervisor that is another program by now is replaced as any.
  const pid_t worker = mount_->worker();
  kill_process(worker, SIGKILL);
  EXPECT_TRUE(wait_until([&] { return mount_->worker() != worker; }, kPatience));
  let_all_go_on();
  expect_all_fine();
}

constexpr Mode kModes[] = {{"file_through", false, "through"}, {"file_close", false, "close"},
                           {"file_back", false, "back"},       {"sftp_through", true, "through"},
                           {"sftp_close", true, "close"},      {"sftp_back", true, "back"}};
INSTANTIATE_TEST_SUITE_P(Modes, UpgradeBackAndForth, testing::ValuesIn(kModes),
                         [](const auto& mode) { return std::string(mode.param.name); });

// Somebody beside the mount who asks for both kinds of lock all the time, and keeps what he gets.
class AsksAllTheTime {
 public:
  AsksAllTheTime(const std::string& whole_file, const std::string& ranges)
      : whole_file_(open_file(whole_file, O_RDWR)),
        ranges_(open_file(ranges, O_RDWR)),
        thread_("test-asks", [this] { ask(); }) {}
  ~AsksAllTheTime() { stop(); }
  AsksAllTheTime(const AsksAllTheTime&) = delete;
  AsksAllTheTime& operator=(const AsksAllTheTime&) = delete;

  void stop() {
    stopped_ = true;
    thread_.join();
  }
  [[nodiscard]] unsigned got() const { return got_; }
  [[nodiscard]] uint64_t asked() const { return asked_; }

 private:
  void ask() {
    struct flock range {};
    range.l_type = F_WRLCK;
    range.l_len = 10;
    while (!stopped_) {
      if (::flock(whole_file_.get(), LOCK_SH | LOCK_NB) == 0) ++got_;
      if (::fcntl(ranges_.get(), F_OFD_SETLK, &range) == 0) ++got_;
      ++asked_;
    }
  }

  const UniqueFd whole_file_;
  const UniqueFd ranges_;
  std::atomic<bool> stopped_{false};
  std::atomic<unsigned> got_{0};
  std::atomic<uint64_t> asked_{0};
  sync::Thread thread_;
};

// By descriptors that the supervisor holds, through its own exec, and has for each worker.
TEST_F(Upgrade, WhatIsLockedStaysLocked) {
  UniqueFd whole_file = open_file(here(name(0)), O_RDWR);
  UniqueFd ranges = open_file(here(name(1)), O_RDWR);
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_len = 10;
  ASSERT_EQ(::flock(whole_file.get(), LOCK_EX), 0);
  ASSERT_EQ(::fcntl(ranges.get(), F_OFD_SETLK, &range), 0);
  const UniqueFd beside_whole = open_file(source_ + name(0), O_RDWR);
  const UniqueFd beside_ranges = open_file(source_ + name(1), O_RDWR);
  const auto expect_locked = [&](const char* when) {
    EXPECT_NE(::flock(beside_whole.get(), LOCK_SH | LOCK_NB), 0) << when;
    struct flock theirs = range;
    EXPECT_NE(::fcntl(beside_ranges.get(), F_OFD_SETLK, &theirs), 0) << when;
  };
  expect_locked("before");
  AsksAllTheTime other(source_ + name(0), source_ + name(1));
  for (const std::string& program : {std::string(NETFS_TEST_NEXT_BINARY), netfs_binary()}) {
    const Finished finished = upgrade_to(program);
    ASSERT_EQ(finished.status, 0) << finished.output << mount_->log();
    EXPECT_TRUE(wait_until([&] { return program_of_supervisor() == program; }, kPatience));
    expect_locked("after an upgrade");
    const pid_t worker = mount_->worker();
    kill_process(worker, SIGKILL);
    EXPECT_TRUE(wait_until([&] { return mount_->worker() != worker; }, kPatience));
    let_all_go_on();
    expect_locked("after the next worker's death");
  }
  other.stop();
  EXPECT_GT(other.asked(), 0U);
  EXPECT_EQ(other.got(), 0U) << "of so many: " << other.asked();
  // None of it is anybody's but the two who gave it back.
  EXPECT_EQ(::flock(whole_file.get(), LOCK_UN), 0);
  range.l_type = F_UNLCK;
  EXPECT_EQ(::fcntl(ranges.get(), F_OFD_SETLK, &range), 0);
  range.l_type = F_WRLCK;
  EXPECT_EQ(::flock(beside_whole.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(::fcntl(beside_ranges.get(), F_OFD_SETLK, &range), 0);
  whole_file.reset();
  ranges.reset();
  expect_all_fine();
}

TEST_F(Upgrade, AProgramThatCannotGoOnLeavesTheOneThatCan) {
  const pid_t worker = mount_->worker();
  expect_refused(temp_ / "nothing", "No such file");
  expect_refused(temp_.path(), "no program");
  write_file(temp_ / "text", "not a program\n");
  expect_refused(temp_ / "text", "not executable");
  std::filesystem::permissions(temp_ / "text", std::filesystem::perms::owner_all);
  expect_refused(temp_ / "text", "cannot be run");
  expect_refused("/bin/true", "no netfs");
  expect_refused(bad_program("crashes"), "crashed");
  expect_refused(bad_program("another-arena"), "its arena is of another version");
  expect_refused(bad_program("newer-arena"), "which could not be taken back");
  EXPECT_EQ(mount_->worker(), worker) << "it was not even disturbed";
  EXPECT_EQ(mount_->status()["netfs"], daemon::kVersion);
  expect_all_fine();
}

TEST_F(Upgrade, OneThatDoesNotSayWhatItIsIsWaitedForInVain) {
  const pid_t worker = mount_->worker();
  expect_refused(bad_program("hangs"), "it does not say what it is");
  EXPECT_EQ(mount_->worker(), worker) << "it was not even disturbed";
  expect_all_fine();
}

TEST_F(Upgrade, OneThatDiesAtItsStartIsFollowedByTheOneBefore) {
  expect_refused(bad_program("dies-at-its-start"), "its worker was killed by signal 11");
  EXPECT_EQ(mount_->status()["netfs"], daemon::kVersion);
  expect_refused(bad_program("ends-at-its-start"), "its worker ended with code 0");
  EXPECT_EQ(mount_->status()["netfs"], daemon::kVersion);
  const Finished finished = upgrade_to(NETFS_TEST_NEXT_BINARY);
  EXPECT_EQ(finished.status, 0) << "a good one is taken after that: " << finished.output;
  expect_all_fine();
}

TEST_F(Upgrade, TwoAtATimeAreOne) {
  Process first({netfs_binary(), "upgrade", mount_->path()}, temp_ / "first.log");
  const Finished second = run({netfs_binary(), "upgrade", mount_->path()}, kPatience);
  const std::optional<int> status = first.wait(kPatience);
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(*status == 0 || second.status == 0) << first.output() << second.output;
  // Told once more at once.
  const Finished third = run({netfs_binary(), "upgrade", mount_->path()}, kPatience);
  EXPECT_EQ(third.status, 0) << third.output;
  let_all_go_on();
  expect_all_fine();
}

// A worker that stands still is waited for.
TEST_F(Upgrade, AWorkerThatIsStoppedForAWhileCostsNobodyACall) {
  const pid_t worker = mount_->worker();
  ASSERT_EQ(kill_process(worker, SIGSTOP), 0);
  const MonoTime until = Clock::system().now() +
                         std::chrono::milliseconds(number_given("NETFS_TEST_STOPPED_MS", 1000));
  (void)wait_until([&] { return Clock::system().now() >= until; }, kPatience);
  ASSERT_EQ(kill_process(worker, SIGCONT), 0);
  let_all_go_on();
  EXPECT_EQ(mount_->worker(), worker);
  expect_all_fine();
}

}  // namespace
}  // namespace netfs::test
