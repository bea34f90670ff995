#include "cli/dead_mount.h"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <string_view>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "cli/owners.h"
#include "fuse/mount.h"
#include "fuse/mount_table.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

namespace fs = std::filesystem;

constexpr Duration kAskTimeout = std::chrono::seconds(5);
constexpr int kAnswerMs = 1000;

// Whether the kernel has nobody to ask about it.
bool has_lost_its_daemon(const std::string& path) {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    struct statx found {};
    // What it knows of the root it would answer by itself.
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_FORCE_SYNC;
    const int failed = ::statx(AT_FDCWD, path.c_str(), flags, STATX_BASIC_STATS, &found);
    ::_exit(failed == 0 ? 0 : errno);
  }
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
  const bool answered = process && ::poll(&ended, 1, kAnswerMs) > 0;
  if (!answered) kill_process(child, SIGKILL);
  int status = 0;
  // One that cannot be killed is left to init.
  const bool reaped = ::waitpid(child, &status, answered ? 0 : WNOHANG) == child;
  return answered && reaped && WIFEXITED(status) && WEXITSTATUS(status) == ENOTCONN;
}

// What an open /dev/fuse says that it is the connection of: a kernel before 6.16 does not, and then
// it may be any.
bool may_be_of(const fs::path& fd_info, std::string_view connection) {
  constexpr std::string_view kWords = "fuse_connection:";
  std::ifstream in(fd_info);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(kWords)) continue;
    const size_t number = line.find_first_not_of(" \t", kWords.size());
    return number == std::string::npos || line.substr(number) == connection;
  }
  return true;
}

// Whether a process that we can see holds the other end of it.  One that is alive may answer
// ENOTCONN as well, while its origin is away.
bool is_served(const fuse::MountEntry& mount) {
  const std::string connection = mount.device.substr(mount.device.find(':') + 1);
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    std::error_code unreadable;  // it has ended, or is somebody else's
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", unreadable)) {
      if (fs::read_symlink(fd.path(), unreadable) != "/dev/fuse") continue;
      if (may_be_of(process.path() / "fdinfo" / fd.path().filename(), connection)) return true;
    }
  }
  return error.value() != 0;
}

// Its daemon is there, or may be, and is about to take it down, or to say what is the matter.
bool is_known(const std::string& mount_point) {
  const Result<std::vector<daemon::OwnerPaths>> owners = all_owners();
  if (!owners.ok()) return true;
  for (const daemon::OwnerPaths& paths : owners.value()) {
    const std::optional<Result<daemon::Connection>> connection = reach(paths);
    if (!connection) continue;
    if (!connection->ok()) return true;
    const Result<daemon::Response> status =
        daemon::ask(connection->value(), {.verb = daemon::Verb::kStatus, .target = mount_point},
                    Deadline::after(Clock::system(), kAskTimeout));
    if (!status.ok() || status.value().code != ENOENT) return true;
  }
  return false;
}

}  // namespace

Result<void> take_dead_mount_away(const std::string& mount_point) {
  const std::optional<fuse::MountEntry> there = TRY(fuse::find_mount(mount_point));
  if (!there || there->type != "fuse.netfs") return {};
  if (is_known(mount_point) || is_served(*there) || !has_lost_its_daemon(mount_point)) return {};
  // Somebody else may have taken it away meanwhile, and mounted.
  const std::optional<fuse::MountEntry> still = TRY(fuse::find_mount(mount_point));
  if (!still || still->device != there->device) return {};
  TRY(fuse::unmount(mount_point, fuse::UnmountMode::kLazy));
  telemetry::log_warn("mount", "a netfs that died had {} mounted on {}; it is taken away",
                      there->source, mount_point);
  return {};
}

}  // namespace netfs::cli
