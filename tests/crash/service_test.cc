// Goal: a mount that is a systemd service outlives its supervisor, where systemd keeps descriptors
// for it; a stop unmounts it and leaves nothing.  Method: the real systemd in namespaces of its own
// (service.sh); who has files open all the while: one that is read, and on a mount that is written
// by close a log that is appended to and synced, and files that are locked.

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "tests/crash/user.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{60};
constexpr size_t kBytes = 3 << 20;
constexpr size_t kStored = 64;  // descriptors that the service manager keeps

UniqueFd open_at(const std::string& path, int flags) {
  return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC, 0644));
}

// The parameter: read_only, or by_close.
class Service : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(program("unshare"));
    NETFS_TEST_NEEDS(program("nsenter"));
    NETFS_TEST_NEEDS(program("systemctl"));
    NETFS_TEST_NEEDS(::access("/lib/systemd/systemd", X_OK) == 0 ? "" : "needs systemd");
    write_file(source_ + "/film", bytes_, std::chrono::hours(24));
    write_file(
        temp_ / "unit",
        "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n"
        "[Service]\nType=notify\nRestart=on-failure\nRestartSec=0\n"
        "FileDescriptorStoreMax=" +
            std::to_string(kStored) + "\nEnvironment=FDSTORE=" + std::to_string(kStored) +
            "\nRestartKillSignal=SIGKILL\n"
            "ExecStartPre=/bin/sh -c 'while [ -e " +
            held_up_ + " ]; do sleep 0.05; done'\nExecStart=" + netfs_binary() +
            " mount --foreground --log-file " + temp_ / "netfs.log" +
            (is_written() ? " --write=close --cache-dir " + temp_ / "cache" : " --no-cache") +
            " file://" + source_ + " " + mount_ + "\n",
        std::chrono::hours(0));
    machine_.emplace(std::vector<std::string>{NETFS_TEST_SERVICE_SCRIPT, temp_ / "unit"},
                     temp_ / "machine.log");
    ASSERT_TRUE(wait_until([&] { return show("ActiveState") == "active"; }, kBound)) << logs();
    use_it();
  }
  void TearDown() override {
    std::filesystem::remove(held_up_);
    if (!machine_) return;
    machine_->signal(SIGTERM);  // with it all that a user may still wait for
    EXPECT_TRUE(machine_->wait(kBound)) << logs();
  }

  static bool is_written() { return GetParam() == std::string("by_close"); }

  void use_it() {
    film_ = open_at(inside("film"), O_RDONLY);
    ASSERT_TRUE(film_) << logs();
    users_.push_back(std::make_unique<User>("reader", 1, [this](std::mt19937_64&) {
      return reads_on() ? "" : "what is open is read no more, or has other bytes";
    }));
    if (!is_written()) return;
    log_ = open_at(inside("log"), O_WRONLY | O_CREAT | O_APPEND);
    users_.push_back(std::make_unique<User>("logger", 2, [this](std::mt19937_64&) -> std::string {
      const std::string line = "line " + std::to_string(logged_.size()) + "\n";
      const ssize_t n = ::write(log_.get(), line.data(), line.size());
      if (n != static_cast<ssize_t>(line.size())) return failed("append", n < 0 ? errno : 0);
      if (::fsync(log_.get()) != 0) return failed("fsync", errno);
      logged_ += line;
      return "";
    }));
    locked_ = open_at(inside("locked"), O_RDWR | O_CREAT);
    taken_ = open_at(inside("taken"), O_RDWR | O_CREAT);
    ASSERT_EQ(::flock(locked_.get(), LOCK_EX), 0) << logs();
    ASSERT_EQ(::flock(taken_.get(), LOCK_EX), 0) << logs();
  }

  // Each has done something since that was not under way before, and nobody else has the lock.
  [[nodiscard]] bool all_go_on() const {
    std::vector<uint64_t> seen;
    for (const auto& user : users_) seen.push_back(user->rounds());
    const auto moved = [&] {
      bool all = true;
      for (size_t i = 0; i < users_.size(); ++i) all = all && users_[i]->rounds() > seen[i] + 2;
      return all;
    };
    return wait_until(moved, kBound) && (!is_written() || !can_lock("locked"));
  }
  // Beside the mount.
  [[nodiscard]] bool can_lock(const std::string& name) const {
    return ::flock(open_at(source_ + "/" + name, O_RDWR).get(), LOCK_EX | LOCK_NB) == 0;
  }
  void goes_on_after(const std::vector<std::string>& words) const {
    const std::string before = show("MainPID");
    EXPECT_EQ(run(there(words), kBound).status, 0) << logs();
    goes_on_as_another_than(before);
  }
  void goes_on_as_another_than(const std::string& before) const {
    const auto is_another = [&] {
      const std::string now = show("MainPID");
      return now != before && now != "0" && show("ActiveState") == "active";
    };
    EXPECT_TRUE(wait_until(is_another, kBound)) << logs();
    EXPECT_TRUE(all_go_on()) << logs();
  }
  // Nor while no process of ours lives.  Nothing is run then: a program that is started has the
  // open files of this one, and to close them waits for whoever serves.
  void nobody_gets_a_lock_in_between() {
    write_file(held_up_, "");
    const std::string before = show("MainPID");
    const std::vector<pid_t> ours = supervisor_and_worker();
    ASSERT_EQ(ours.size(), 2U) << logs();
    EXPECT_EQ(run(there({"systemctl", "restart", "--no-block", "netfs"}), kBound).status, 0);
    const auto have_ended = [&] {
      return std::ranges::none_of(
          ours, [](pid_t pid) { return std::filesystem::exists("/proc/" + std::to_string(pid)); });
    };
    EXPECT_TRUE(wait_until(have_ended, kBound)) << logs();
    EXPECT_FALSE(can_lock("locked"));
    EXPECT_FALSE(can_lock("taken"));
    std::filesystem::remove(held_up_);
    goes_on_as_another_than(before);
    EXPECT_FALSE(can_lock("taken"));
    EXPECT_EQ(::flock(taken_.get(), LOCK_UN), 0) << strerrorname_np(errno);
    EXPECT_TRUE(can_lock("taken"));
    taken_.reset();
  }
  // What is kept of locks is half of what the service manager keeps: the others are lost, aloud.
  void who_finds_no_room_for_his_lock_is_told(size_t kept_of_the_mount) {
    constexpr size_t kLocks = 40;
    const auto name = [](size_t i) { return "many-" + std::to_string(i); };
    std::vector<UniqueFd> many;
    for (size_t i = 0; i < kLocks; ++i) {
      many.push_back(open_at(inside(name(i)), O_RDWR | O_CREAT));
      ASSERT_EQ(::flock(many.back().get(), LOCK_EX), 0) << strerrorname_np(errno);
    }
    const std::string all = std::to_string(kept_of_the_mount + kStored / 2);
    EXPECT_TRUE(wait_until([&] { return show("NFileDescriptorStore") == all; }, kBound))
        << show("NFileDescriptorStore") << " and not " << all;
    goes_on_after({"bash", "-c", "kill -KILL " + show("MainPID")});
    size_t told = 0;
    for (size_t i = 0; i < kLocks; ++i) {
      const bool is_lost = can_lock(name(i));
      EXPECT_EQ(::flock(many[i].get(), LOCK_UN), is_lost ? -1 : 0) << i;
      told += is_lost;
    }
    EXPECT_EQ(told, kLocks + 1 - kStored / 2) << "one is kept that was there before";
  }
  void expect_all_fine() {
    for (const auto& user : users_) user->expect_fine();
    if (!is_written()) return;
    EXPECT_EQ(::flock(locked_.get(), LOCK_UN), 0) << strerrorname_np(errno);
    EXPECT_TRUE(can_lock("locked"));
    EXPECT_EQ(::close(log_.release()), 0);
    EXPECT_EQ(::close(locked_.release()), 0);
    EXPECT_EQ(read_text(source_ + "/log"), logged_) << "nothing acknowledged is lost";
  }

  // Of the service, as the machine knows it.
  [[nodiscard]] std::vector<std::string> there(std::vector<std::string> words) const {
    std::vector<std::string> all{"nsenter", "-t", std::to_string(first_process()),
                                 "-m",      "-p", "-C"};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  [[nodiscard]] pid_t first_process() const {
    pid_t at = machine_->pid();
    // service.sh, its child that becomes unshare, systemd.
    for (int i = 0; i < 2; ++i) {
      const std::vector<pid_t> children = children_of(at);
      if (children.empty()) return -1;
      at = children.front();
    }
    return at;
  }
  // As they are numbered here; systemd has no other child then.
  [[nodiscard]] std::vector<pid_t> supervisor_and_worker() const {
    std::vector<pid_t> all;
    for (const pid_t supervisor : children_of(first_process())) {
      all.push_back(supervisor);
      for (const pid_t worker : children_of(supervisor)) all.push_back(worker);
    }
    return all;
  }
  [[nodiscard]] std::string show(const std::string& property) const {
    if (first_process() < 0) return "";
    const Finished said = run(there({"systemctl", "show", "netfs", "-P", property}), kBound);
    return said.output.substr(0, said.output.find('\n'));
  }
  [[nodiscard]] std::string inside(const std::string& name) const {
    return "/proc/" + std::to_string(first_process()) + "/root" + mount_ + "/" + name;
  }
  [[nodiscard]] std::string logs() const {
    return machine_->output() + read_text(temp_ / "netfs.log");
  }
  // By the descriptor that has been open since the beginning; the kernel's pages are let go of.
  [[nodiscard]] bool reads_on() const {
    std::string bytes(kBytes, '\0');
    ::posix_fadvise(film_.get(), 0, 0, POSIX_FADV_DONTNEED);
    const ssize_t length = ::pread(film_.get(), bytes.data(), bytes.size(), 0);
    return length == static_cast<ssize_t>(kBytes) && bytes == bytes_;
  }

  TempDir temp_;
  const std::string bytes_ = pattern(7, 0, kBytes);
  const std::string source_ = temp_.make_dir("source");
  const std::string mount_ = temp_.make_dir("mnt");
  const std::string held_up_ = temp_ / "held-up";  // while it is there no next one starts
  std::optional<Process> machine_;
  UniqueFd film_;
  UniqueFd log_;
  UniqueFd locked_;
  UniqueFd taken_;
  std::string logged_;
  std::vector<std::unique_ptr<User>> users_;
};

TEST_P(Service, OutlivesItsSupervisorAndARestartAndEndsWithAStop) {
  EXPECT_TRUE(all_go_on()) << logs();
  const std::string kept = show("NFileDescriptorStore");
  // Who serves says so to its supervisor, and that to systemd, behind the answer that is read.
  const auto keeps_as_many = [&] {
    return wait_until([&] { return show("NFileDescriptorStore") == kept; }, kBound);
  };
  goes_on_after({"systemctl", "restart", "netfs"});
  EXPECT_TRUE(keeps_as_many()) << show("NFileDescriptorStore") << " and not " << kept;
  // Twice within a second: whoever is being started is told to go.
  goes_on_after(
      {"bash", "-c", "systemctl restart --no-block netfs; sleep 0.3; systemctl restart netfs"});
  EXPECT_TRUE(keeps_as_many()) << logs();
  // The worker alone, and then the supervisor: the arena is said anew by each worker.
  const std::string children =
      "/proc/" + show("MainPID") + "/task/" + show("MainPID") + "/children";
  EXPECT_EQ(run(there({"bash", "-c", "kill -KILL $(cat " + children + ")"}), kBound).status, 0);
  EXPECT_TRUE(all_go_on()) << logs();
  goes_on_after({"bash", "-c", "kill -KILL " + show("MainPID")});
  EXPECT_TRUE(keeps_as_many()) << logs();
  // And by the supervisor that another program has become.
  EXPECT_EQ(run(there({netfs_binary(), "upgrade", "--to", NETFS_TEST_NEXT_BINARY, mount_}), kBound)
                .status,
            0)
      << logs();
  EXPECT_TRUE(all_go_on()) << logs();
  goes_on_after({"bash", "-c", "kill -KILL " + show("MainPID")});
  EXPECT_TRUE(keeps_as_many()) << logs();
  goes_on_after({"systemctl", "restart", "netfs"});
  struct stat open {};
  struct stat now {};
  EXPECT_EQ(::fstat(film_.get(), &open), 0);
  EXPECT_EQ(::stat(inside("film").c_str(), &now), 0);
  EXPECT_EQ(open.st_dev, now.st_dev) << "it is the same mount";
  if (is_written()) {
    nobody_gets_a_lock_in_between();
    const size_t locks_at_first = 2;
    who_finds_no_room_for_his_lock_is_told(std::stoul(kept) - locks_at_first);
  }
  expect_all_fine();

  film_.reset();
  EXPECT_EQ(run(there({"systemctl", "stop", "netfs"}), kBound).status, 0) << logs();
  EXPECT_NE(::stat(inside("film").c_str(), &now), 0) << "it is unmounted";
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(show("NFileDescriptorStore"), "0");
}

INSTANTIATE_TEST_SUITE_P(Mounts, Service, testing::Values("read_only", "by_close"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace netfs::test
