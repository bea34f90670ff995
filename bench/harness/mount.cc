#include "harness/mount.h"

#include <fstream>
#include <sstream>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>

namespace netfs::bench {

namespace {

constexpr std::chrono::seconds kMountTimeout{30};
constexpr std::chrono::seconds kUnmountTimeout{10};
constexpr std::chrono::milliseconds kLook{10};

void pause_a_little() {
  timespec time{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(kLook).count()};
  ::nanosleep(&time, nullptr);
}

}  // namespace

bool is_mounted(const std::string& directory) {
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 5; ++i) fields >> field;  // The fifth is the mount point.
    if (field == directory) return true;
  }
  return false;
}

Result<Mount> Mount::start(const Command& command, const std::string& directory) {
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return Error(errno, "bench.mount", "cannot make " + directory);
  }
  Mount mount(TRY(Process::start(command)), directory);
  auto until = std::chrono::steady_clock::now() + kMountTimeout;
  while (!is_mounted(directory)) {
    Result<int> status = mount.process_.wait(kLook);
    if (status.ok()) {
      mount.directory_.clear();
      return Error(EIO, "bench.mount",
                   command.argv[0] + " ended with status " + std::to_string(status.value()) +
                       " before " + directory + " was mounted; see " + command.log);
    }
    if (std::chrono::steady_clock::now() > until) {
      return Error(ETIMEDOUT, "bench.mount",
                   command.argv[0] + " did not mount " + directory + "; see " + command.log);
    }
  }
  struct statfs info {};
  if (::statfs(directory.c_str(), &info) != 0) {
    return Error(errno, "bench.mount", directory + " is mounted but does not answer statfs");
  }
  return mount;
}

Mount& Mount::operator=(Mount&& other) noexcept {
  if (this != &other) {
    unmount();
    process_ = std::move(other.process_);
    directory_ = std::exchange(other.directory_, {});
  }
  return *this;
}

void Mount::unmount() {
  if (directory_.empty()) return;
  auto until = std::chrono::steady_clock::now() + kUnmountTimeout;
  while (is_mounted(directory_)) {
    if (::umount2(directory_.c_str(), UMOUNT_NOFOLLOW) == 0) break;
    if (errno == EPERM) {
      (void)run({.argv = {"fusermount3", "-u", directory_}}, kUnmountTimeout).ok();
    }
    if (std::chrono::steady_clock::now() > until) {
      ::umount2(directory_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
      break;
    }
    pause_a_little();
  }
  (void)process_.wait(kUnmountTimeout).ok();
  process_.stop();
  directory_.clear();
}

}  // namespace netfs::bench
