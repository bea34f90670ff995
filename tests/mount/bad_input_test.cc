// Goal: what cannot be mounted says so in one clear line that names what and why, ends with the
// exit code of mount(8), and leaves nothing mounted and no daemon behind.  One test a row.

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "daemon/control_message.h"
#include "daemon/control_socket.h"
#include "daemon/runtime_dir.h"
#include "fuse/mount_table.h"
#include "sync/thread.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};
constexpr int kUsage = 1;
constexpr int kInterrupted = 8;
constexpr int kFailed = 32;

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
    write_file(source_ + "/file", "bytes\n");
    mount_point_ = temp_.make_dir("mnt");
    cache_ = temp_ / "cache";
  }

  // `netfs mount` of the usual things and these arguments.
  Finished mount(const std::vector<std::string>& more, std::string url = "") {
    if (url.empty()) url = "file://" + source_;
    std::vector<std::string> argv = {binary_, "mount", url, mount_point_, "--cache-dir", cache_};
    argv.insert(argv.end(), more.begin(), more.end());
    return run(argv, kBound);
  }

  void expect_refused(const Finished& finished, int exit_code,
                      const std::vector<std::string>& words) {
    EXPECT_EQ(finished.status, exit_code) << finished.output;
    EXPECT_EQ(std::count(finished.output.begin(), finished.output.end(), '\n'), 1)
        << "one line: " << finished.output;
    for (const std::string& word : words) {
      EXPECT_NE(finished.output.find(word), std::string::npos)
          << "names '" << word << "': " << finished.output;
    }
    expect_nothing_left();
  }

  void expect_nothing_left() {
    const auto entry = fuse::find_mount(mount_point_);
    EXPECT_TRUE(entry.ok() && (!entry.value() || entry.value()->type != "fuse.netfs"));
    const Result<std::string> name = daemon::owner_name(cache_);
    if (!name.ok()) return;
    const daemon::OwnerPaths paths =
        daemon::owner_paths(daemon::runtime_dir().value(), name.value());
    EXPECT_TRUE(wait_until([&] { return ::access(paths.lock.c_str(), F_OK) != 0; }, kBound))
        << "its daemon is still there: " << paths.lock;
  }

  TempDir temp_;
  std::string binary_ = netfs_binary();
  std::string source_;
  std::string mount_point_;
  std::string cache_;
};

TEST_F(BadInput, UrlThatIsNone) {
  expect_refused(mount({}, "sftp://"), kUsage, {"sftp://"});
}

TEST_F(BadInput, UrlWithAPassword) {
  expect_refused(mount({}, "sftp://ann:secret@h/d"), kUsage, {"password"});
}

TEST_F(BadInput, SchemeThatNobodyKnows) {
  expect_refused(mount({}, "gopher://h/d"), kFailed, {"gopher", "file"});
}

// A copy of the program beside which there is no module, a file that is none, one of another ABI.
TEST_F(BadInput, ModuleThatIsMissingOrDamagedOrOfAnotherAbi) {
  ::mkdir((temp_ / "bin").c_str(), 0755);
  ::mkdir((temp_ / "lib").c_str(), 0755);
  const std::string modules = temp_.make_dir("lib/netfs");
  const std::string module = modules + "/libnetfs-origin-sftp.so";
  binary_ = temp_ / "bin/netfs";
  ASSERT_EQ(run({"cp", netfs_binary(), binary_}, kBound).status, 0);
  expect_refused(mount({}, "sftp://h/d"), kFailed, {"missing", module});
  write_file(module, "this is no module");
  expect_refused(mount({}, "sftp://h/d"), kFailed, {module});
  ASSERT_EQ(run({"cp", NETFS_TEST_OLD_MODULE, module}, kBound).status, 0);
  expect_refused(mount({}, "sftp://h/d"), kFailed, {"ABI"});
}

TEST_F(BadInput, OptionThatNobodyKnows) {
  expect_refused(mount({"-o", "ro,colour=blue"}), kUsage, {"colour"});
  expect_refused(mount({"-o", "colour=blue"}, "sftp://h/d"), kUsage, {"colour", "known_hosts"});
  expect_refused(mount({"--colour", "blue"}), kUsage, {"colour", "netfs mount --help"});
}

TEST_F(BadInput, CommandLinesThatAreWrong) {
  const auto refused = [&](std::vector<std::string> words, const std::string& names) {
    words.insert(words.begin(), binary_);
    expect_refused(run(words, kBound), kUsage, {names, "--help"});
  };
  refused({}, "command");
  refused({"mnt"}, "mnt");
  refused({"mount"}, "URL");
  refused({"mount", "file:///"}, "DIR");
  refused({"mount", "file:///", "a", "b"}, "b");
  refused({"cache"}, "netfs cache");
  refused({"cache", "frob"}, "netfs cache: there is no command 'frob'");
  refused({"umount"}, "TARGET");
  refused({"status", "--yaml"}, "yaml");
}

TEST_F(BadInput, OptionWithABadValue) {
  expect_refused(mount({"--timeout", "soon"}), kUsage, {"timeout", "soon"});
  expect_refused(mount({"-o", "umask=999"}), kUsage, {"umask", "999"});
  expect_refused(mount({"--simulate", "rtt=much"}), kUsage, {"simulate", "much"});
}

TEST_F(BadInput, ConfigurationWithAnUnknownKey) {
  write_file(temp_ / "netfs.toml", "timeout = \"5s\"\ncolour = \"blue\"\n");
  expect_refused(mount({"--config", temp_ / "netfs.toml"}), kUsage, {"netfs.toml:2", "colour"});
}

TEST_F(BadInput, LogFileThatCannotBeWritten) {
  expect_refused(mount({"--log-file", temp_ / "none/log"}), kFailed, {"none/log", "No such file"});
  expect_refused(mount({"--log-file", temp_.path()}), kFailed, {"log file", "directory"});
}

TEST_F(BadInput, OriginThatIsMissing) {
  expect_refused(mount({}, "file://" + source_ + "/none"), kFailed, {"none"});
}

TEST_F(BadInput, OriginThatIsNoDirectory) {
  expect_refused(mount({}, "file://" + source_ + "/file"), kFailed, {"file", "irectory"});
}

TEST_F(BadInput, HostThatIsDown) {
  NETFS_TEST_NEEDS(program("ssh"));
  const MonoTime began = Clock::system().now();
  // Nobody listens on port 1.
  expect_refused(mount({"--timeout", "5s"}, "sftp://127.0.0.1:1/d"), kFailed, {"127.0.0.1"});
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(60));
}

class BadLogin : public BadInput {
 protected:
  void SetUp() override {
    BadInput::SetUp();
    if (IsSkipped()) return;
    NETFS_TEST_NEEDS(program("sshd"));
    sshd_ = std::make_unique<TestSshd>(temp_);
    ASSERT_TRUE(sshd_->ready()) << sshd_->log();
    dir_ = temp_ / "sshd";
  }
  std::unique_ptr<TestSshd> sshd_;
  std::string dir_;
};

TEST_F(BadLogin, WrongKeyIsRefused) {
  ASSERT_EQ(run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", temp_ / "other_key"}, kBound)
                .status,
            0);
  expect_refused(
      mount({"-o", "identity=" + (temp_ / "other_key") + ",known_hosts=" + dir_ + "/known_hosts"},
            sshd_->url(source_)),
      kFailed, {"127.0.0.1", "credential"});
}

TEST_F(BadLogin, UnknownHostKeyIsRefused) {
  write_file(temp_ / "no_hosts", "");
  expect_refused(mount({"-o", "identity=" + dir_ + "/key,known_hosts=" + (temp_ / "no_hosts")},
                       sshd_->url(source_)),
                 kFailed, {"host key"});
}

// Whether a program of that name runs with `argument`.
bool runs(const std::string& program, const std::string& argument) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path().string() + "/cmdline");
    std::string words;  // stays empty where there is no process, or it ends meanwhile
    std::getline(file, words, '\n');
    if (words.rfind(program + '\0', 0) == 0 && words.find(argument) != std::string::npos)
      return true;
  }
  return false;
}

// The server answers after the user has given up: the mount must not come then.
TEST_F(BadLogin, UserWhoGivesUpLeavesNothingMounted) {
  ASSERT_EQ(kill_process(sshd_->pid(), SIGSTOP), 0);
  std::vector<std::string> argv = {binary_,       "mount", sshd_->url(dir_), mount_point_,
                                   "--cache-dir", cache_,  "--timeout",      "40s"};
  for (const std::string& word : sshd_->mount_options()) argv.push_back(word);
  Process command(argv, temp_ / "command.log");
  EXPECT_TRUE(wait_until([&] { return runs("ssh", sshd_->key_file()); }, kBound));
  command.signal(SIGINT);
  EXPECT_EQ(command.wait(kBound), kInterrupted);
  EXPECT_EQ(command.output(), "netfs mount: interrupted\n");
  ASSERT_EQ(kill_process(sshd_->pid(), SIGCONT), 0);
  expect_nothing_left();  // waits for the daemon's end
  expect_nothing_left();
}

TEST_F(BadLogin, RemoteFileIsNoDirectory) {
  expect_refused(mount(sshd_->mount_options(), sshd_->url(source_ + "/file")), kFailed,
                 {"irectory"});
}

TEST_F(BadInput, CacheDirectoryThatCannotBeWritten) {
  const std::string disk = temp_.make_dir("disk");
  ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", MS_RDONLY, "mode=0700"), 0);
  cache_ = disk + "/cache";
  expect_refused(mount({}), kFailed, {cache_, "ead-only"});
  cache_ = disk;
  expect_refused(mount({}), kFailed, {cache_});
  ::umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(BadInput, CacheDirectoryOnAFullDisk) {
  const std::string disk = temp_.make_dir("disk");
  ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", 0, "mode=0700,size=64k"), 0);
  {
    std::ofstream full(disk + "/full");
    full << std::string(1 << 20, 'x') << std::flush;
  }
  cache_ = disk + "/cache";
  const Finished finished = mount({});
  EXPECT_EQ(finished.status, kFailed) << finished.output;
  EXPECT_NE(finished.output.find(cache_), std::string::npos) << finished.output;
  expect_nothing_left();
  ::umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(BadInput, CacheDirectoryUnderTheMountPoint) {
  cache_ = mount_point_ + "/cache";
  expect_refused(mount({}), kFailed, {cache_, "under", "--cache-dir"});
}

TEST_F(BadInput, OriginUnderTheMountPointAndTheOtherWayRound) {
  ::mkdir((mount_point_ + "/origin").c_str(), 0755);
  expect_refused(mount({}, "file://" + mount_point_ + "/origin"), kFailed, {"under"});
  expect_refused(mount({}, "file://" + temp_.path()), kFailed, {"inside"});
}

TEST_F(BadInput, CacheDirectoryOfAnotherUser) {
  ASSERT_EQ(::mkdir(cache_.c_str(), 0700), 0);
  ASSERT_EQ(::chown(cache_.c_str(), 65534, 65534), 0);
  expect_refused(mount({}), kUsage, {cache_, "65534"});
}

TEST_F(BadInput, CacheDirectoryOfAnotherFormat) {
  ASSERT_EQ(::mkdir(cache_.c_str(), 0700), 0);
  write_file(cache_ + "/format", "netfs cache, format 99\n");
  expect_refused(mount({}), kFailed, {cache_, "format"});
}

TEST_F(BadInput, CacheDirectoryWithFilesOfSomebodyElse) {
  ASSERT_EQ(::mkdir(cache_.c_str(), 0700), 0);
  write_file(cache_ + "/thesis.txt", "years of work\n");
  expect_refused(mount({}), kFailed, {cache_});
  EXPECT_EQ(read_whole(cache_ + "/thesis.txt").value(), "years of work\n");
}

// A damaged index is rebuilt: the mount works, and the log has a line.
TEST_F(BadInput, CacheDirectoryThatIsDamaged) {
  ASSERT_EQ(mount({}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/file", source_ + "/file"));
  ASSERT_EQ(run({binary_, "umount", mount_point_}, kBound).status, 0);
  expect_nothing_left();
  write_file(cache_ + "/index", std::string(32768, 'x'));
  const Finished again = mount({"--log-file", temp_ / "log"});
  EXPECT_EQ(again.status, 0) << again.output;
  EXPECT_TRUE(same_bytes(mount_point_ + "/file", source_ + "/file"));
  ASSERT_EQ(run({binary_, "umount", mount_point_}, kBound).status, 0);
  expect_nothing_left();
  EXPECT_NE(read_text(temp_ / "log").find("index"), std::string::npos) << read_text(temp_ / "log");
}

TEST_F(BadInput, CacheDirectoryOwnedByAnotherVersion) {
  ASSERT_EQ(::mkdir(cache_.c_str(), 0700), 0);
  const daemon::OwnerPaths paths =
      daemon::owner_paths(daemon::runtime_dir().value(), daemon::owner_name(cache_).value());
  std::optional<UniqueFd> lock = daemon::try_lock_owner(paths).value();
  ASSERT_TRUE(lock.has_value());
  {
    const UniqueFd listener = daemon::listen_control(paths.socket).value();
    // Answers whoever comes: `netfs status` of a test beside this one asks every owner too.
    std::atomic<bool> asked{false};
    sync::Thread other("other-version", [&] {
      wait_until(
          [&] {
            Result<UniqueFd> socket = daemon::accept_control(listener.get());
            if (!socket.ok()) return asked.load();
            const daemon::Hello hello{.version = "99.0", .pid = 1, .cache_dir = cache_};
            (void)daemon::send_message(socket.value().get(), daemon::encode(hello),
                                       Deadline::after(Clock::system(), kBound))
                .ok();
            return asked.load();
          },
          2 * kBound);
    });
    const Finished finished = mount({});
    asked = true;
    other.join();
    EXPECT_EQ(finished.status, kFailed) << finished.output;
    EXPECT_NE(finished.output.find("netfs 99.0"), std::string::npos) << finished.output;
  }
  ::unlink(paths.socket.c_str());
  ::unlink(paths.lock.c_str());
  lock.reset();
  expect_nothing_left();
}

TEST_F(BadInput, MountPointThatIsMissing) {
  mount_point_ = temp_ / "nowhere";
  expect_refused(mount({}), kFailed, {mount_point_, "does not exist"});
}

TEST_F(BadInput, MountPointThatIsNoDirectory) {
  mount_point_ = temp_ / "plain";
  write_file(mount_point_, "x");
  expect_refused(mount({}), kFailed, {mount_point_, "not a directory"});
}

TEST_F(BadInput, MountPointThatIsBusy) {
  ASSERT_EQ(::mount("tmpfs", mount_point_.c_str(), "tmpfs", 0, "mode=0700"), 0);
  expect_refused(mount({}), kFailed, {mount_point_, "already", "tmpfs"});
  ::umount2(mount_point_.c_str(), MNT_DETACH);
}

TEST_F(BadInput, MountPointOfAMountThatStands) {
  ASSERT_EQ(mount({}).status, 0);
  const Finished again = mount({});
  EXPECT_EQ(again.status, kFailed);
  EXPECT_NE(again.output.find("already"), std::string::npos) << again.output;
  EXPECT_TRUE(same_bytes(mount_point_ + "/file", source_ + "/file"));
  ASSERT_EQ(run({binary_, "umount", mount_point_}, kBound).status, 0);
  expect_nothing_left();
}

TEST_F(BadInput, UmountOfWhatIsNotMounted) {
  expect_refused(run({binary_, "umount", mount_point_}, kBound), kFailed, {"not mounted"});
  expect_refused(run({binary_, "umount", "sftp://h/none"}, kBound), kFailed, {"sftp://h/none"});
  expect_refused(run({binary_, "umount", "/proc"}, kBound), kFailed, {"proc"});
}

TEST_F(BadInput, StatusOfWhatIsNotMounted) {
  expect_refused(run({binary_, "status", mount_point_}, kBound), kFailed, {mount_point_});
}

}  // namespace
}  // namespace netfs::test
