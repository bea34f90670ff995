// Goal: a daemon whose memory is limited costs who uses its mounts a pause when the limit is hit:
// the kernel kills the worker, and the next one goes on.
//
// Method: supervisor and worker in a control group, whose limit is set a little above what they use
// at rest; a file larger than that is read, and a log is written.

#include <csignal>
#include <gtest/gtest.h>

#include "base/kill_process.h"
#include "tests/crash/user.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/memory_group.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr uint64_t kRoomBytes = 3 << 20;
constexpr uint64_t kPieceBytes = 1 << 20;
constexpr uint64_t kPieces = 48;
constexpr unsigned kDeaths = 3;
constexpr std::chrono::seconds kDeathsTime{60};

std::vector<std::unique_ptr<User>> who_reads_and_who_writes(const std::string& path,
                                                            std::string& log) {
  std::vector<std::unique_ptr<User>> users;
  const auto big = std::make_shared<UniqueFd>(open_file(path + "/big", O_RDONLY));
  users.push_back(std::make_unique<User>(
      "reader", 1, [big, next = uint64_t{0}](std::mt19937_64&) mutable -> std::string {
        const uint64_t at = next++ % kPieces * kPieceBytes;
        ::posix_fadvise(big->get(), 0, 0, POSIX_FADV_DONTNEED);
        std::string bytes;
        const int error = read_on(big->get(), static_cast<off_t>(at), kPieceBytes, bytes);
        if (error != 0) return failed("read", error);
        return bytes == pattern(1, at, kPieceBytes) ? "" : "other bytes";
      }));
  const auto fd = std::make_shared<UniqueFd>(open_file(path + "/log", O_WRONLY | O_CREAT));
  users.push_back(std::make_unique<User>("logger", 2, [&log, fd](std::mt19937_64&) -> std::string {
    const std::string line = "line " + std::to_string(log.size()) + "\n";
    const ssize_t n = ::pwrite(fd->get(), line.data(), line.size(), static_cast<off_t>(log.size()));
    if (n != static_cast<ssize_t>(line.size())) return failed("write", n < 0 ? errno : 0);
    log += line;
    return ::fsync(fd->get()) == 0 ? "" : failed("fsync", errno);
  }));
  return users;
}

TEST(MemoryLimit, AWorkerThatIsKilledForItIsFollowedAndNoCallFails) {
  NETFS_TEST_NEEDS(root());
  NETFS_TEST_NEEDS(fuse());
  const MemoryGroup group;
  NETFS_TEST_NEEDS(group.missing());
  const TempDir temp;
  const std::string source = temp.make_dir("source");
  write_file(source + "/big", pattern(1, 0, kPieces * kPieceBytes));
  NetfsMount mount({.url = "file://" + source,
                    .cache_dir = temp / "cache",
                    .more = {"--hot", "0s", "--write=close"},
                    .in_front = group.in_front()},
                   temp);
  ASSERT_TRUE(mount.ready()) << mount.log();
  const Watchdog watchdog(kBound, [&] { mount.abort(); });
  const pid_t supervisor = mount.supervisor();
  ASSERT_TRUE(group.limit(group.usage_bytes() + kRoomBytes));
  std::string log;
  std::vector<std::unique_ptr<User>> users = who_reads_and_who_writes(mount.path(), log);
  const auto any_ended = [&] { return users[0]->ended() || users[1]->ended(); };
  EXPECT_TRUE(wait_until([&] { return group.kills() >= kDeaths || any_ended(); }, kDeathsTime));
  std::printf("%lu deaths\n", static_cast<unsigned long>(group.kills()));
  EXPECT_TRUE(group.lift_limit());
  const uint64_t reads = users[0]->rounds();
  EXPECT_TRUE(
      wait_until([&] { return users[0]->rounds() >= reads + kPieces || any_ended(); }, kBound));
  for (const auto& user : users) user->expect_fine();
  EXPECT_GE(group.kills(), kDeaths) << "it proves little";
  EXPECT_EQ(kill_process(supervisor, 0), 0) << "it has not had to go itself";
  EXPECT_TRUE(mount.says("was killed by signal 9")) << mount.log();
  users.clear();
  EXPECT_EQ(whole(mount.path() + "/log"), log);
  EXPECT_TRUE(mount.unmount()) << mount.log();
  EXPECT_EQ(whole(source + "/log"), log);
}

}  // namespace
}  // namespace netfs::test
