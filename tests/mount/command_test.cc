// Goal: the netfs command as people and mount(8) use it: every way to mount and unmount, what
// status and cache show, in front and behind, as root and as an ordinary user.

#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <string>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/runtime_dir.h"
#include "fuse/mount_table.h"
#include "tests/support/needs.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{150};

class Command : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    source_ = temp_.make_dir("source");
    ::mkdir((source_ + "/folder").c_str(), 0755);
    write_file(source_ + "/folder/file", pattern(1, 0, 300'000));
    mount_point_ = temp_.make_dir("mnt");
    cache_ = temp_ / "cache";
    url_ = "file://" + source_;
    watchdog_ = std::make_unique<Watchdog>(
        kBound, [this] { ::umount2(mount_point_.c_str(), MNT_FORCE | MNT_DETACH); });
  }
  void TearDown() override { ::umount2(mount_point_.c_str(), MNT_DETACH); }

  Finished netfs(std::vector<std::string> words) {
    words.insert(words.begin(), netfs_binary());
    return run(words, kBound);
  }
  Finished mount(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"mount", url_, mount_point_, "--cache-dir", cache_};
    words.insert(words.end(), more.begin(), more.end());
    return netfs(words);
  }
  [[nodiscard]] std::optional<fuse::MountEntry> entry() const {
    return fuse::find_mount(mount_point_).value();
  }
  [[nodiscard]] nlohmann::json status() {
    const Finished finished = netfs({"status", mount_point_, "--json"});
    return nlohmann::json::parse(finished.output, nullptr, false);
  }
  void expect_daemon_ends() {
    const daemon::OwnerPaths paths =
        daemon::owner_paths(daemon::runtime_dir().value(), daemon::owner_name(cache_).value());
    EXPECT_TRUE(wait_until([&] { return ::access(paths.lock.c_str(), F_OK) != 0; }, kBound));
  }

  TempDir temp_;
  std::string source_;
  std::string mount_point_;
  std::string cache_;
  std::string url_;
  std::unique_ptr<Watchdog> watchdog_;
};

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

TEST_F(Command, SecondMountReadsFromTheCache) {
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  EXPECT_TRUE(wait_until([&] { return status()["cache"]["sealed_count"] == 1; }, kBound));
  ASSERT_EQ(netfs({"umount", mount_point_}).status, 0);
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  const nlohmann::json seen = status();
  EXPECT_EQ(seen["mounts"][0]["bytes"]["origin_bytes"], 0) << seen;
  EXPECT_EQ(seen["mounts"][0]["opens"]["passthrough"], 1) << seen;
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
}

TEST_F(Command, StatusShowsWhatItPromises) {
  ASSERT_EQ(mount({"--metadata-ttl", "7s", "--no-passthrough"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  const nlohmann::json seen = status();
  for (const char* key : {"netfs", "pid", "supervisor_pid", "worker_restarts", "uptime_s",
                          "cache_dir", "memory", "cache", "stores", "mounts"}) {
    EXPECT_TRUE(seen.contains(key)) << key;
  }
  ASSERT_EQ(seen["mounts"].size(), 1u);
  const nlohmann::json& one = seen["mounts"][0];
  for (const char* key : {"url", "mount_point", "origin", "options", "transport", "features",
                          "hits", "misses", "bytes", "reads", "errors", "latency", "operations",
                          "names", "opens", "requests", "library_requests", "refused_names"}) {
    EXPECT_TRUE(one.contains(key)) << key;
  }
  EXPECT_EQ(one["url"], url_);
  EXPECT_EQ(one["options"]["metadata_ttl"], "7.0 s");
  bool found = false;
  for (const nlohmann::json& feature : one["features"]) {
    if (feature["name"] != "passthrough") continue;
    found = true;
    EXPECT_EQ(feature["on"], false);
    EXPECT_EQ(feature["why_not"], "--no-passthrough");
  }
  EXPECT_TRUE(found);
  const Finished text = netfs({"status"});
  EXPECT_EQ(text.status, 0);
  EXPECT_NE(text.output.find(mount_point_), std::string::npos);
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
}

TEST_F(Command, CacheIsListedAndDroppedThroughTheDaemonAndWithoutIt) {
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  EXPECT_TRUE(wait_until([&] { return status()["cache"]["sealed_count"] == 1; }, kBound));
  const std::vector<std::string> dir = {"--cache-dir", cache_};
  const auto cache = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "cache");
    words.insert(words.end(), dir.begin(), dir.end());
    return netfs(words);
  };
  EXPECT_NE(cache({"list"}).output.find("folder/file"), std::string::npos);
  EXPECT_EQ(cache({"drop", mount_point_ + "/folder"}).output, "1 files dropped\n");
  EXPECT_EQ(cache({"list"}).output.find("folder/file"), std::string::npos);
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
  const nlohmann::json objects =
      nlohmann::json::parse(cache({"list", "--json"}).output, nullptr, false)["objects"];
  ASSERT_EQ(objects.size(), 1u) << objects;
  EXPECT_EQ(objects[0]["path"], "folder/file");
  EXPECT_EQ(objects[0]["stored_bytes"], 300'000);
  EXPECT_EQ(cache({"usage", "--json"}).status, 0);
  EXPECT_EQ(cache({"drop", "--all"}).output, "1 files dropped\n");
  EXPECT_EQ(cache({"drop"}).status, 1);
}

// The hand brake: whatever was believed for ever is asked again.
TEST_F(Command, DroppedPathIsAskedOfTheOriginAgain) {
  ASSERT_EQ(mount({"--hot", "0s", "--metadata-ttl", "forever"}).status, 0);
  EXPECT_EQ(read_whole(mount_point_ + "/folder/file").value(), pattern(1, 0, 300'000));
  write_file(source_ + "/folder/file", pattern(2, 0, 200'000), std::chrono::minutes(10));
  EXPECT_EQ(read_whole(mount_point_ + "/folder/file").value(), pattern(1, 0, 300'000))
      << "believed for ever";
  EXPECT_EQ(netfs({"cache", "drop", mount_point_ + "/folder", "--cache-dir", cache_}).status, 0);
  EXPECT_TRUE(wait_until(
      [&] { return read_whole(mount_point_ + "/folder/file").value() == pattern(2, 0, 200'000); },
      kBound));
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
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

// Type=notify: READY when it is mounted, STOPPING at SIGTERM; then it is unmounted and ends well.
TEST_F(Command, InFrontItTellsSystemdAndEndsByTermination) {
  const std::string path = temp_ / "notify";
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const auto next = [&]() -> std::string {
    pollfd polled{socket.get(), POLLIN, 0};
    char text[64];
    if (::poll(&polled, 1, 20'000) <= 0) return "nothing";
    const ssize_t length = ::recv(socket.get(), text, sizeof(text), 0);
    return {text, length > 0 ? static_cast<size_t>(length) : 0};
  };
  Process front({"env", "NOTIFY_SOCKET=" + path, netfs_binary(), "mount", "--foreground", url_,
                 mount_point_, "--cache-dir", cache_},
                temp_ / "front.log");
  EXPECT_EQ(next(), "READY=1") << front.output();
  EXPECT_TRUE(entry().has_value());
  front.signal(SIGTERM);
  EXPECT_EQ(next(), "STOPPING=1");
  EXPECT_EQ(front.wait(kBound), 0) << front.output();
  EXPECT_FALSE(entry().has_value());
}

// A second mount in front on the same cache is served by the first one's daemon, and unmounted when
// its command ends, while the first stays.
TEST_F(Command, CommandInFrontWhoseDaemonIsAnothersUnmountsAtItsEnd) {
  ASSERT_EQ(mount().status, 0);
  const std::string second = temp_.make_dir("second");
  Process front({netfs_binary(), "mount", "-f", url_, second, "--cache-dir", cache_},
                temp_ / "front.log");
  ASSERT_TRUE(wait_until([&] { return fuse::find_mount(second).value().has_value(); }, kBound))
      << front.output();
  EXPECT_TRUE(same_bytes(second + "/folder/file", source_ + "/folder/file"));
  front.signal(SIGTERM);
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
      "' /usr/sbin/mount.fuse.netfs\n"
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
      "! mount -t fuse.netfs file:///none/such $D -o cache_dir=" +
      cache_ +
      "\n"
      "! grep -q \" $D fuse\" /proc/mounts\n";
  const Finished finished =
      run({"unshare", "-m", "--propagation", "private", "bash", "-c", script}, kBound);
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
