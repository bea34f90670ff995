#include "cli/dead_mount.h"

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "cli/owners.h"
#include "fuse/mount.h"
#include "fuse/mount_table.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

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

// Its daemon is there, and is about to take it down, or to say what is the matter.
bool is_known(const std::string& mount_point) {
  const Result<std::vector<daemon::OwnerPaths>> owners = all_owners();
  if (!owners.ok()) return false;
  for (const daemon::OwnerPaths& paths : owners.value()) {
    const std::optional<Result<daemon::Connection>> connection = reach(paths);
    if (!connection || !connection->ok()) continue;
    const Result<daemon::Response> status =
        daemon::ask(connection->value(), {.verb = daemon::Verb::kStatus, .target = mount_point},
                    Deadline::after(Clock::system(), kAskTimeout));
    if (status.ok() && status.value().code == 0) return true;
  }
  return false;
}

}  // namespace

Result<void> take_dead_mount_away(const std::string& mount_point) {
  const std::optional<fuse::MountEntry> there = TRY(fuse::find_mount(mount_point));
  if (!there || there->type != "fuse.netfs") return {};
  if (!has_lost_its_daemon(mount_point) || is_known(mount_point)) return {};
  TRY(fuse::unmount(mount_point, fuse::UnmountMode::kLazy));
  telemetry::log_warn("mount", "a netfs that died had {} mounted on {}; it is taken away",
                      there->source, mount_point);
  return {};
}

}  // namespace netfs::cli
