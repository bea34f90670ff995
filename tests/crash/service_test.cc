// Goal: a mount that is a systemd service outlives its supervisor, where systemd keeps descriptors
// for it; a stop unmounts it and leaves nothing.  Method: the real systemd in namespaces of its own
// (service.sh), a reader that holds a file open all the while.

#include <atomic>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "sync/thread.h"
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

class Service : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    NETFS_TEST_NEEDS(program("unshare"));
    NETFS_TEST_NEEDS(program("nsenter"));
    NETFS_TEST_NEEDS(program("systemctl"));
    NETFS_TEST_NEEDS(::access("/lib/systemd/systemd", X_OK) == 0 ? "" : "needs systemd");
    const std::string source = temp_.make_dir("source");
    write_file(source + "/film", bytes_, std::chrono::hours(24));
    mount_ = temp_.make_dir("mnt");
    write_file(
        temp_ / "unit",
        "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n"
        "[Service]\nType=notify\nRestart=on-failure\nRestartSec=0\n"
        "FileDescriptorStoreMax=64\nEnvironment=FDSTORE=64\nRestartKillSignal=SIGKILL\nExecStart=" +
            netfs_binary() + " mount --foreground --no-cache --log-file " + temp_ / "netfs.log" +
            " file://" + source + " " + mount_ + "\n",
        std::chrono::hours(0));
    machine_.emplace(std::vector<std::string>{NETFS_TEST_SERVICE_SCRIPT, temp_ / "unit"},
                     temp_ / "machine.log");
    ASSERT_TRUE(wait_until([&] { return show("ActiveState") == "active"; }, kBound)) << log();
    film_ = UniqueFd(::open(inside("film").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(film_) << log();
  }
  void TearDown() override {
    film_.reset();
    if (!machine_) return;
    machine_->signal(SIGTERM);
    EXPECT_TRUE(machine_->wait(kBound)) << log();
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
  [[nodiscard]] std::string show(const std::string& property) const {
    if (first_process() < 0) return "";
    const Finished said = run(there({"systemctl", "show", "netfs", "-P", property}), kBound);
    return said.output.substr(0, said.output.find('\n'));
  }
  [[nodiscard]] std::string inside(const std::string& name) const {
    return "/proc/" + std::to_string(first_process()) + "/root" + mount_ + "/" + name;
  }
  [[nodiscard]] std::string log() const {
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
  std::string mount_;
  std::optional<Process> machine_;
  UniqueFd film_;
};

TEST_F(Service, OutlivesItsSupervisorAndARestartAndEndsWithAStop) {
  std::atomic<bool> done{false};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> failed{0};
  sync::Thread reader("reader", [&] {
    while (!done) {
      if (!reads_on()) ++failed;
      ++reads;
    }
  });
  const auto reads_some = [&] {
    const uint64_t seen = reads;
    return wait_until([&] { return reads > seen + 2; }, kBound);
  };
  const auto goes_on_after = [&](const std::vector<std::string>& words) {
    const std::string before = show("MainPID");
    EXPECT_EQ(run(there(words), kBound).status, 0) << log();
    const auto is_another = [&] {
      const std::string now = show("MainPID");
      return now != before && now != "0" && show("ActiveState") == "active";
    };
    EXPECT_TRUE(wait_until(is_another, kBound)) << log();
    EXPECT_TRUE(reads_some()) << log();
  };
  EXPECT_TRUE(reads_some()) << log();
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
  EXPECT_TRUE(keeps_as_many()) << log();
  // The worker alone, and then the supervisor: the arena is said anew by each worker.
  const std::string children =
      "/proc/" + show("MainPID") + "/task/" + show("MainPID") + "/children";
  EXPECT_EQ(run(there({"bash", "-c", "kill -KILL $(cat " + children + ")"}), kBound).status, 0);
  EXPECT_TRUE(reads_some()) << log();
  goes_on_after({"bash", "-c", "kill -KILL " + show("MainPID")});
  EXPECT_TRUE(keeps_as_many()) << log();
  // And by the supervisor that another program has become.
  EXPECT_EQ(run(there({netfs_binary(), "upgrade", "--to", NETFS_TEST_NEXT_BINARY, mount_}), kBound)
                .status,
            0)
      << log();
  EXPECT_TRUE(reads_some()) << log();
  goes_on_after({"bash", "-c", "kill -KILL " + show("MainPID")});
  EXPECT_TRUE(keeps_as_many()) << log();
  goes_on_after({"systemctl", "restart", "netfs"});
  struct stat open {};
  struct stat now {};
  EXPECT_EQ(::fstat(film_.get(), &open), 0);
  EXPECT_EQ(::stat(inside("film").c_str(), &now), 0);
  EXPECT_EQ(open.st_dev, now.st_dev) << "it is the same mount";
  done = true;
  reader.join();
  EXPECT_EQ(failed, 0U) << log();

  film_.reset();
  EXPECT_EQ(run(there({"systemctl", "stop", "netfs"}), kBound).status, 0) << log();
  EXPECT_NE(::stat(inside("film").c_str(), &now), 0) << "it is unmounted";
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(show("NFileDescriptorStore"), "0");
}

}  // namespace
}  // namespace netfs::test
