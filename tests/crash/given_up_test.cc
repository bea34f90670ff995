// Goal: nobody waits for a worker that only crashes: who uses its mount gets errors, whoever asks
// is told why, and `netfs umount` takes the mount away.

#include <cerrno>
#include <csignal>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "daemon/runtime_dir.h"
#include "tests/crash/user.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kGivenUpTime{60};
constexpr std::chrono::seconds kSaidTime{15};
constexpr uint64_t kBytes = 300'000;

// Mounted in the background, so that the log is where status looks for it; without core files.
class GivenUp : public testing::Test {
 protected:
  void SetUp() override {
    NETFS_TEST_NEEDS(root());
    NETFS_TEST_NEEDS(fuse());
    write_file(source_ + "/file", pattern(3, 0, kBytes));
    const Finished mounted =
        run({"/usr/bin/prlimit", "--core=0", netfs_binary(), "mount", "file://" + source_, path_,
             "--cache-dir", cache_, "--hot", "0s", "--write=close"},
            kGivenUpTime);
    ASSERT_EQ(mounted.status, 0) << mounted.output;
    const Finished status = run({netfs_binary(), "status", path_, "--json"}, kSaidTime);
    const nlohmann::json said = nlohmann::json::parse(status.output, nullptr, false);
    ASSERT_TRUE(said.is_object()) << status.output;
    supervisor_ = said.value("supervisor_pid", 0);
    ASSERT_GT(supervisor_, 1) << said;
    process_.reset(static_cast<int>(::syscall(SYS_pidfd_open, supervisor_, 0)));
  }
  // Also what a test that has failed leaves.
  void TearDown() override {
    if (HasFailure()) (void)run({netfs_binary(), "umount", path_}, kSaidTime);
    abort_mount(path_);
    for (const int signal : {SIGTERM, SIGKILL}) {
      pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
      if (!process_ || ::poll(&ended, 1, 0) != 0) break;
      (void)::syscall(SYS_pidfd_send_signal, process_.get(), signal, nullptr, 0);
      (void)::poll(&ended, 1, static_cast<int>(kSaidTime / std::chrono::milliseconds(1)));
    }
    ::unlink(daemon::owner_paths(daemon::runtime_dir().value(), daemon::owner_name(cache_).value())
                 .log.c_str());
  }

  // Each of its workers, as soon as there is one.
  [[nodiscard]] bool crash_until_it_is_given_up() const {
    return wait_until(
        [&] {
          for (const pid_t child : children_of(supervisor_)) kill_process(child, SIGSEGV);
          return kill_process(supervisor_, 0) != 0;
        },
        kGivenUpTime);
  }

  TempDir temp_;
  const std::string source_ = temp_.make_dir("source");
  const std::string path_ = temp_.make_dir("mnt");
  const std::string cache_ = temp_.make_dir("cache");
  pid_t supervisor_ = 0;
  UniqueFd process_;  // the supervisor, whose number may be another's once it has ended
  const Watchdog watchdog_{kBound, [this] { abort_mount(path_); }};
};

TEST_F(GivenUp, ItsUsersGetErrorsStatusSaysWhyAndUmountTakesItAway) {
  const auto use = [](int fd, auto call) {
    return [fd, call](std::mt19937_64&) mutable -> std::string {
      return call(fd) < 0 ? std::to_string(errno) : "";
    };
  };
  UniqueFd read = open_file(path_ + "/file", O_RDONLY);
  UniqueFd written = open_file(path_ + "/new", O_WRONLY | O_CREAT);
  std::string bytes(kBytes, '\0');
  User reader("reader", 1, use(read.get(), [&](int fd) {
                ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                return ::pread(fd, bytes.data(), kBytes, 0);
              }));
  User writer("writer", 2, use(written.get(), [](int fd) {
                return ::pwrite(fd, "text", 4, 0) < 0 ? -1 : ::fsync(fd);
              }));
  User looker("looker", 3, use(-1, [this, next = 0](int) mutable {
                const std::string none = path_ + "/none" + std::to_string(next++);
                return ::access(none.c_str(), F_OK) == 0 || errno == ENOENT ? 0 : -1;
              }));
  ASSERT_TRUE(crash_until_it_is_given_up());
  for (User* user : {&reader, &writer, &looker}) {
    EXPECT_TRUE(wait_until([&] { return user->ended(); }, kSaidTime));
    // What was under way when it ended, and what came after that.
    const std::string error = user->wrong();
    EXPECT_TRUE(error == std::to_string(ECONNABORTED) || error == std::to_string(ENOTCONN))
        << error;
  }
  EXPECT_TRUE(read_whole(path_ + "/file").is_error(ENOTCONN));
  const Finished status = run({netfs_binary(), "status", path_}, kSaidTime);
  EXPECT_NE(status.status, 0);
  EXPECT_EQ(std::count(status.output.begin(), status.output.end(), '\n'), 1) << status.output;
  EXPECT_NE(status.output.find("given up: the worker was killed by signal 11"), std::string::npos)
      << status.output;
  read.reset();
  written.reset();
  const Finished umount = run({netfs_binary(), "umount", path_}, kSaidTime);
  EXPECT_EQ(umount.status, 0) << umount.output;
  EXPECT_NE(::access((path_ + "/file").c_str(), F_OK), 0);
  EXPECT_EQ(errno, ENOENT) << "nothing is mounted there";
}

}  // namespace
}  // namespace netfs::test
