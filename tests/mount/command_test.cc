// Goal: the netfs command as people and mount(8) use it: every way to mount and unmount, in front
// and behind, as root and as an ordinary user.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>

#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/mount/command_fixture.h"

namespace netfs::test {
namespace {

using Command = CommandTest;

TEST_F(Command, MountIsThereWhenTheCommandEndsWithItsSourceAsGiven) {
  ASSERT_EQ(mount({"-o", "rw,noatime"}).status, 0);
  ASSERT_TRUE(entry().has_value());
  EXPECT_EQ(entry()->type, "fuse.netfs");
  EXPECT_EQ(entry()->source, url_);
  EXPECT_NE(entry()->options.find("noatime"), std::string::npos);
  EXPECT_NE(entry()->options.find("nosuid"), std::string::npos);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  EXPECT_FALSE(entry().has_value());
  expect_daemon_ends();
}

TEST_F(Command, EveryWayToUnmountEndsTheDaemonAndTheNextMountWorksAtOnce) {
  const std::vector<std::vector<std::string>> ways = {{"umount", mount_point_},
                                                      {"umount", url_},
                                                      {"fusermount3", "-u", mount_point_},
                                                      {netfs_binary(), "umount", mount_point_},
                                                      {netfs_binary(), "umount", url_}};
  for (const std::vector<std::string>& way : ways) {
    const Finished mounted = mount();
    ASSERT_EQ(mounted.status, 0) << way[0] << " " << way[1] << ": " << mounted.output;
    EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
    const Finished unmounted = run(way, kBound);
    EXPECT_EQ(unmounted.status, 0) << way[0] << ": " << unmounted.output;
  }
  expect_daemon_ends();
}

TEST_F(Command, BusyMountIsRefusedAndLazilyDetached) {
  ASSERT_EQ(mount().status, 0);
  UniqueFd user(::open((mount_point_ + "/folder/file").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(user);
  const Finished busy = netfs({"umount", mount_point_});
  EXPECT_EQ(busy.status, 32);
  EXPECT_NE(busy.output.find("--lazy"), std::string::npos) << busy.output;
  EXPECT_EQ(netfs({"umount", "--lazy", mount_point_}).status, 0);
  EXPECT_FALSE(entry().has_value());
  // The file that is open is read on, while the same tree is mounted again.
  ASSERT_EQ(mount().status, 0);
  char byte = 0;
  EXPECT_EQ(::pread(user.get(), &byte, 1, 250'000), 1);
  user.reset();
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
}

// As df does in another window, or what watches a machine.
TEST_F(Command, WhoOnlyLooksAtAMountDoesNotKeepIt) {
  ASSERT_EQ(mount({"--simulate", "rtt=500ms"}).status, 0);
  std::atomic<bool> looks{false};
  sync::Thread other("looks", [&] {
    struct statvfs seen {};
    looks = true;
    EXPECT_EQ(::statvfs(mount_point_.c_str(), &seen), 0);
  });
  ASSERT_TRUE(wait_until([&] { return looks.load(); }, kBound));
  const Finished unmounted = netfs({"umount", mount_point_});
  EXPECT_EQ(unmounted.status, 0) << unmounted.output;
  other.join();
  expect_daemon_ends();
}

// Of an absolute link into the tree a relative one is shown, since a URL says where the tree lies.
TEST_F(Command, AbsoluteLinksIntoTheTreeStayInTheMount) {
  ASSERT_EQ(::symlink((source_ + "/folder/file").c_str(), (source_ + "/folder/in").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (source_ + "/folder/out").c_str()), 0);
  ASSERT_EQ(mount().status, 0);
  char target[64] = {};
  EXPECT_GT(::readlink((mount_point_ + "/folder/in").c_str(), target, sizeof target - 1), 0);
  EXPECT_STREQ(target, "../folder/file");
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/in", source_ + "/folder/file"));
  EXPECT_EQ(::readlink((mount_point_ + "/folder/out").c_str(), target, sizeof target), -1);
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
}

// What the file says is what the mount has, but for what the command line says.
TEST_F(Command, TheUsersFileOfDefaultsHoldsAndTheCommandLineWins) {
  ::mkdir((temp_ / "config").c_str(), 0755);
  ::mkdir((temp_ / "config/netfs").c_str(), 0755);
  write_file(temp_ / "config/netfs/netfs.toml",
             "metadata-ttl = \"7s\"\nhot = \"3m\"\nimmutable = true\non-error = \"stale\"\n"
             "symlinks = \"as-is\"\ntimeout = \"11s\"\numask = \"027\"\nuid = 12\n");
  const Finished mounted =
      run({"env", "XDG_CONFIG_HOME=" + (temp_ / "config"), netfs_binary(), "mount", url_,
           mount_point_, "--cache-dir", cache_, "-o", "uid=13", "--timeout", "12s"},
          kBound);
  ASSERT_EQ(mounted.status, 0) << mounted.output;
  const nlohmann::json seen = status()["mounts"][0]["options"];
  const nlohmann::json expected = {
      {"metadata_ttl", "7.0 s"}, {"hot", "3 min"},      {"immutable", true},
      {"on_error", "stale"},     {"symlinks", "as-is"}, {"timeout", "12.0 s"},
      {"umask", "027"},          {"uid", 13},           {"verify", "sealing"}};
  for (const auto& [name, value] : expected.items()) EXPECT_EQ(seen[name], value) << name;
  struct stat file {};
  ASSERT_EQ(::stat((mount_point_ + "/folder/file").c_str(), &file), 0);
  EXPECT_EQ(file.st_uid, 13U);
  EXPECT_EQ(file.st_mode & 0777, 0640U);
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
}

// An origin of one's own is mounted as a module, as examples/ shows.
TEST_F(Command, OriginOfTheExamplesIsMountedByItsScheme) {
  url_ = "hello://world";
  const Finished mounted = mount();
  ASSERT_EQ(mounted.status, 0) << mounted.output;
  EXPECT_EQ(entry()->source, "hello://world");
  EXPECT_EQ(read_whole(mount_point_ + "/squares").value().substr(0, 15), "1 squared is 1\n");
  EXPECT_EQ(netfs({"umount", "hello://world"}).status, 0);
}

// What cannot be written to is mounted read-only, whatever was asked.
TEST_F(Command, AnOriginThatCannotBeChangedIsMountedReadOnly) {
  url_ = "hello://world";
  const Finished mounted = mount({"--write=through"});
  ASSERT_EQ(mounted.status, 0) << mounted.output;
  EXPECT_EQ(::mkdir((mount_point_ + "/d").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(netfs({"umount", "hello://world"}).status, 0);
}

// And by a program of its own, which ends when somebody unmounts it.
TEST_F(Command, ProgramOfTheExamplesMountsItsOwnOrigin) {
  const std::string program = netfs_binary().substr(0, netfs_binary().rfind('/')) + "/hello_mount";
  Process hello({program, mount_point_}, temp_ / "hello.log");
  ASSERT_TRUE(wait_until([&] { return entry().has_value(); }, kBound)) << hello.output();
  EXPECT_EQ(entry()->source, "hello:");
  EXPECT_EQ(read_whole(mount_point_ + "/squares").value().substr(0, 15), "1 squared is 1\n");
  EXPECT_EQ(run({"umount", mount_point_}, kBound).status, 0);
  EXPECT_EQ(hello.wait(kBound), 0) << hello.output();
}

// Plays systemd to a command with NOTIFY_SOCKET.
class NotifySocket {
 public:
  explicit NotifySocket(std::string path)
      : path_(std::move(path)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path_.size(), sizeof(address.sun_path));
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  [[nodiscard]] std::string variable() const { return "NOTIFY_SOCKET=" + path_; }
  std::string next() {
    pollfd polled{socket_.get(), POLLIN, 0};
    char text[64];
    if (::poll(&polled, 1, 20'000) <= 0) return "nothing";
    const ssize_t length = ::recv(socket_.get(), text, sizeof(text), 0);
    return {text, length > 0 ? static_cast<size_t>(length) : 0};
  }

 private:
  const std::string path_;
  const UniqueFd socket_;
};

// Type=notify: READY when it is mounted, STOPPING at SIGTERM; then it is unmounted and ends well.
TEST_F(Command, InFrontItTellsSystemdAndEndsByTermination) {
  NotifySocket systemd(temp_ / "notify");
  Process front({"env", systemd.variable(), netfs_binary(), "mount", "--foreground", url_,
                 mount_point_, "--cache-dir", cache_},
                temp_ / "front.log");
  EXPECT_EQ(systemd.next(), "READY=1") << front.output();
  EXPECT_TRUE(entry().has_value());
  front.signal(SIGTERM);
  EXPECT_EQ(systemd.next(), "STOPPING=1");
  EXPECT_EQ(front.wait(kBound), 0) << front.output();
  EXPECT_FALSE(entry().has_value());
}

// A second mount in front on the same cache is served by the first one's daemon, and unmounted when
// its command ends, while the first stays.
TEST_F(Command, CommandInFrontWhoseDaemonIsAnothersUnmountsAtItsEnd) {
  ASSERT_EQ(mount().status, 0);
  const std::string second = temp_.make_dir("second");
  NotifySocket systemd(temp_ / "notify");
  Process front({"env", systemd.variable(), netfs_binary(), "mount", "-f", url_, second,
                 "--cache-dir", cache_},
                temp_ / "front.log");
  ASSERT_EQ(systemd.next(), "READY=1") << front.output();
  EXPECT_TRUE(same_bytes(second + "/folder/file", source_ + "/folder/file"));
  front.signal(SIGTERM);
  EXPECT_EQ(systemd.next(), "STOPPING=1");
  EXPECT_EQ(front.wait(kBound), 0) << front.output();
  EXPECT_FALSE(fuse::find_mount(second).value().has_value());
  EXPECT_TRUE(entry().has_value());
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
}

// mount(8) calls the helper, remounts, and umounts by source, in a mount namespace whose /usr/sbin
// has the helper.
TEST_F(Command, Mount8FindsTheHelperAndHandsRemountToTheKernel) {
  NETFS_TEST_NEEDS(program("unshare"));
  ::mkdir((temp_ / "work").c_str(), 0755);
  const std::string script =
      "set -e; T='" + temp_.path() + "'; D='" + mount_point_ + "'; U='" + url_ +
      "'\n"
      "mount -t tmpfs none $T/work; mkdir $T/work/up $T/work/work\n"
      "mount -t overlay o -o lowerdir=/usr/sbin,upperdir=$T/work/up,workdir=$T/work/work "
      "/usr/sbin || { echo no overlay; exit 77; }\n"
      "ln -s '" +
      netfs_binary() +
      "' /usr/sbin/mount.fuse.netfs; ln -s mount.fuse.netfs /usr/sbin/mount.netfs\n"
      "for i in 1 2 3; do\n"
      "  mount -t fuse.netfs \"$U\" $D -o rw,noatime,nosuid,nodev,sync,dirsync,_netdev,nofail,"
      "x-y,allow_other,default_permissions,cache_dir=" +
      cache_ +
      "\n"
      "  grep -q \"^$U $D fuse.netfs ro\" /proc/mounts\n"
      "  cmp $D/folder/file '" +
      source_ +
      "/folder/file'\n"
      "  mount -o remount,rw $D; grep -q \"^$U $D fuse.netfs rw\" /proc/mounts\n"
      "  mount -o remount,ro $D; grep -q \"^$U $D fuse.netfs ro\" /proc/mounts\n"
      "  test \"$(df --output=source $D | tail -1)\" = \"$U\"\n"
      "  umount \"$U\"\n"
      "done\n"
      "has() { grep -q \"^$U $D fuse.netfs \\(.*,\\)*$1[, ]\" /proc/mounts; }\n"
      "not() { if \"$@\"; then echo \"$*: it does\"; exit 1; fi; }\n"
      "mount -t netfs \"$U\" $D -o noexec,relatime,cache_dir=" +
      cache_ +
      "\n"
      "has ro; has noexec; has relatime; cmp $D/folder/file '" +
      source_ +
      "/folder/file'; umount $D\n"
      "echo \"$U $D netfs ro,noauto,strictatime,cache_dir=" +
      cache_ +
      " 0 0\" >$T/fstab\n"
      "mount -T $T/fstab $D; has ro; not has noexec; not has noatime\n"
      "mount -o remount,ro,strictatime $D; not has relatime\n"
      "mount -o remount,ro,relatime $D; has relatime; has ro; umount $D\n"
      "not mount -t fuse.netfs file:///none/such $D -o cache_dir=" +
      cache_ +
      "\n"
      "! grep -q \" $D fuse\" /proc/mounts\n";
  const Finished finished =
      run({"unshare", "-m", "--propagation", "private", "bash", "-xc", script}, kBound);
  if (finished.status == 77) {
    std::printf("SKIPPED: Command.Mount8FindsTheHelper: needs overlayfs\n");
    GTEST_SKIP() << "needs overlayfs";
  }
  EXPECT_EQ(finished.status, 0) << finished.output;
  expect_daemon_ends();
}

// Without privilege: by fusermount3, and without passthrough, which status explains.  In a mount
// namespace, where /dev/fuse is open to everybody, as on any Debian, and netfs lies where the user
// may reach it.
TEST_F(Command, OrdinaryUserMountsThroughFusermount) {
  NETFS_TEST_NEEDS(program("fusermount3"));
  NETFS_TEST_NEEDS(program("setpriv"));
  const std::string build = netfs_binary().substr(0, netfs_binary().rfind("/bin/"));
  const std::string script = "set -e; T='" + temp_.path() +
                             "'\n"
                             "chmod 755 $T; mkdir $T/home $T/home/mnt $T/bin\n"
                             "cp '" +
                             netfs_binary() + "' $T/bin/netfs; cp -r '" + build +
                             "/lib' $T/lib\n"
                             "chmod -R a+rX $T/bin $T/lib $T/source; chown -R 65534:65534 $T/home\n"
                             "mknod -m 666 $T/fuse c 10 229; mount --bind $T/fuse /dev/fuse\n"
                             "user() { setpriv --reuid 65534 --regid 65534 --clear-groups "
                             "env -u XDG_RUNTIME_DIR -u XDG_CACHE_HOME HOME=$T/home \"$@\"; }\n"
                             "user $T/bin/netfs mount '" +
                             url_ +
                             "' $T/home/mnt\n"
                             "user $T/bin/netfs status $T/home/mnt --json | grep -q 'needs root'\n"
                             "user cmp $T/home/mnt/folder/file $T/source/folder/file\n"
                             "user $T/bin/netfs cache list | grep -q PATH\n"
                             "user $T/bin/netfs umount $T/home/mnt\n"
                             "! grep -q \" $T/home/mnt \" /proc/mounts\n";
  const Finished finished =
      run({"unshare", "-m", "--propagation", "private", "bash", "-xc", script}, kBound);
  EXPECT_EQ(finished.status, 0) << finished.output;
}

}  // namespace
}  // namespace netfs::test
