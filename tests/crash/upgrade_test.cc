// Goal: who uses a mount does not see that another program serves it from now on; and a program
// that cannot do that leaves the one that does in its place.
//
// Method: a real mount that is read and written all the time, and `netfs upgrade` to netfs-next,
// which is this netfs under another version, and back; then to whatever else may lie there.

#include <atomic>
#include <csignal>
#include <dirent.h>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <sys/file.h>
#include <vector>

#include "base/kill_process.h"
#include "daemon/version.h"
#include "sync/thread.h"
#include "tests/crash/user.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kPatience{120};
constexpr unsigned kFiles = 6;
constexpr uint64_t kFileBytes = 100'000;

unsigned number_given(const char* name, unsigned otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : otherwise;
}

class Upgrade : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
    for (unsigned i = 0; i < kFiles; ++i) {
      write_file(source_ + name(i), pattern(i, 0, kFileBytes));
    }
    std::filesystem::create_directory(source_ + "/written");
    mount_ = std::make_unique<NetfsMount>(
        NetfsMount::Options{.url = "file://" + source_,
                            .cache_dir = temp_ / "cache",
                            .more = {"--hot", "0s", "--metadata-ttl", "1s", "--write=close"}},
        temp_);
    ASSERT_TRUE(mount_->ready()) << mount_->log();
    watchdog_ = std::make_unique<Watchdog>(std::chrono::seconds(240) * number_of_upgrades(),
                                           [this] { mount_->abort(); });
    use_it();
  }
  void TearDown() override {
    for (const auto& user : users_) user->stop();
  }

  static unsigned number_of_upgrades() { return number_given("NETFS_TEST_UPGRADES", 4); }
  static std::string name(unsigned i) { return "/file" + std::to_string(i); }
  [[nodiscard]] std::string here(const std::string& path) const { return mount_->path() + path; }
  void use(const char* who, User::Work work) {
    users_.push_back(std::make_unique<User>(who, test_seed() + users_.size(), std::move(work)));
  }

  void use_it() {
    auto open = std::make_shared<std::vector<UniqueFd>>();
    for (unsigned i = 0; i < kFiles; ++i) open->push_back(open_file(here(name(i)), O_RDONLY));
    use("reader", [open](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      const uint64_t at = random() % (kFileBytes - 5000);
      const std::string bytes = bytes_at((*open)[pick].get(), static_cast<off_t>(at), 5000);
      if (random() % 8 == 0) ::posix_fadvise((*open)[pick].get(), 0, 0, POSIX_FADV_DONTNEED);
      return bytes == pattern(pick, at, 5000) ? "" : failed("read of an open file", errno);
    });
    use("opener", [this](std::mt19937_64& random) -> std::string {
      const unsigned pick = random() % kFiles;
      const Result<std::vector<std::string>> names = list_names(mount_->path());
      if (!names.ok()) return failed("list", names.code());
      if (names.value().size() < kFiles) return "a listing that lacks names";
      return whole(here(name(pick))) == pattern(pick, 0, kFileBytes) ? "" : "other bytes";
    });
    auto log =
        std::make_shared<UniqueFd>(open_file(here("/written/log"), O_WRONLY | O_CREAT | O_APPEND));
    use("logger", [this, log](std::mt19937_64&) -> std::string {
      const std::string line = "line " + std::to_string(log_.size()) + "\n";
      const ssize_t n = ::write(log->get(), line.data(), line.size());
      if (n != static_cast<ssize_t>(line.size())) return failed("append", n < 0 ? errno : 0);
      if (::fsync(log->get()) != 0) return failed("fsync", errno);
      log_ += line;
      return "";
    });
    use("namer", [this](std::mt19937_64& random) -> std::string {
      const std::string a = here("/written/a"), b = here("/written/b");
      const std::string bytes = pattern(random(), 0, 1 + random() % 20'000);
      if (const int error = put(a, bytes, O_CREAT | O_EXCL)) return failed("create", error);
      if (::rename(a.c_str(), b.c_str()) != 0) return failed("rename", errno);
      if (whole(b) != bytes) return "not what was written";
      if (::unlink(b.c_str()) != 0) return failed("unlink", errno);
      if (::mkdir(a.c_str(), 0755) != 0) return failed("mkdir", errno);
      return ::rmdir(a.c_str()) == 0 ? "" : failed("rmdir", errno);
    });
  }

  // Once each has done something since: they use what serves now.
  void let_all_go_on() {
    std::vector<uint64_t> rounds;
    for (const auto& user : users_) rounds.push_back(user->rounds());
    ASSERT_TRUE(wait_until(
        [&] {
          size_t moved = 0;
          for (size_t i = 0; i < users_.size(); ++i) {
            moved += users_[i]->rounds() > rounds[i] || users_[i]->ended();
          }
          return moved == users_.size();
        },
        kPatience));
  }
  void expect_all_fine() {
    for (const auto& user : users_) user->expect_fine();
    users_.clear();
    EXPECT_EQ(whole(here("/written/log")), log_);
    EXPECT_TRUE(mount_->mounted());
    if (HasFailure()) std::printf("%s\n", mount_->log().c_str());
    EXPECT_TRUE(mount_->unmount()) << mount_->log();
    EXPECT_EQ(whole(source_ + "/written/log"), log_) << "nothing acknowledged is lost";
  }

  [[nodiscard]] Finished upgrade_to(const std::string& program) const {
    return run({netfs_binary(), "upgrade", mount_->path(), "--to", program}, kPatience);
  }
  // By the program of that version: another one is not spoken to.
  static nlohmann::json status_by(const std::string& program, const std::string& path) {
    const Finished finished = run({program, "status", path, "--json"}, kPatience);
    return nlohmann::json::parse(finished.output, nullptr, false);
  }
  [[nodiscard]] std::string program_of_supervisor() const {
    std::error_code error;
    return std::filesystem::read_symlink("/proc/" + std::to_string(mount_->supervisor()) + "/exe",
                                         error);
  }
  std::string bad_program(const std::string& behaviour) {
    const std::string path = temp_ / behaviour;
    std::filesystem::copy_file(NETFS_TEST_BAD_PROGRAM, path);
    return path;
  }
  // One line that says why, and nobody is disturbed.
  void expect_refused(const std::string& program, const std::string& why) {
    const Finished finished = upgrade_to(program);
    EXPECT_EQ(finished.status, 32) << program << ": " << finished.output;
    EXPECT_NE(finished.output.find(why), std::string::npos) << finished.output;
    EXPECT_NE(finished.output.find("serves on"), std::string::npos) << finished.output;
    EXPECT_EQ(std::count(finished.output.begin(), finished.output.end(), '\n'), 1)
        << finished.output;
    let_all_go_on();
    EXPECT_TRUE(mount_->status().is_object()) << program;
  }

  TempDir temp_;
  std::string source_;
  std::unique_ptr<NetfsMount> mount_;
  std::unique_ptr<Watchdog> watchdog_;
  std::string log_;
  std::vector<std::unique_ptr<User>> users_;
};

TEST_F(Upgrade, BackAndForthBetweenTwoVersionsNoCallFails) {
  const pid_t supervisor = mount_->supervisor();
  for (unsigned i = 0; i < number_of_upgrades() && !HasFailure(); ++i) {
    const bool next = i % 2 == 0;
    const std::string program = next ? NETFS_TEST_NEXT_BINARY : netfs_binary();
    const pid_t worker = mount_->worker();
    const Finished finished = upgrade_to(program);
    ASSERT_EQ(finished.status, 0) << finished.output << mount_->log();
    let_all_go_on();
    EXPECT_NE(mount_->worker(), worker);
    EXPECT_TRUE(wait_until([&] { return program_of_supervisor() == program; }, kPatience))
        << program_of_supervisor();
    const char* version = next ? "next" : daemon::kVersion;
    EXPECT_TRUE(wait_until(
        [&] {
          const nlohmann::json told = status_by(program, mount_->path());
          return told.is_object() && told["supervisor_netfs"] == version;
        },
        kPatience));
    const nlohmann::json status = status_by(program, mount_->path());
    ASSERT_TRUE(status.is_object()) << mount_->log();
    EXPECT_EQ(status["netfs"], version);
    EXPECT_EQ(status["supervisor_pid"], supervisor);
  }
  // The worker of a supervisor that is another program by now is replaced as any.
  const pid_t worker = mount_->worker();
  kill_process(worker, SIGKILL);
  EXPECT_TRUE(wait_until([&] { return mount_->worker() != worker; }, kPatience));
  let_all_go_on();
  expect_all_fine();
}

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
  EXPECT_EQ(mount_->worker(), worker) << "it was not even disturbed";
  EXPECT_EQ(mount_->status()["netfs"], daemon::kVersion);
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
