#include "cli/umount_command.h"

#include "cli/owners.h"
#include "cli/status_text.h"
#include "fuse/mount.h"
#include "fuse/mount_table.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

constexpr const char* kCommand = "umount";
constexpr Duration kUmountTimeout = std::chrono::seconds(120);

// No daemon of ours has it: one of another namespace or user, or one that is gone.
ExitCode unmount_ourselves(const std::string& target, bool lazy) {
  const Result<std::optional<fuse::MountEntry>> entry = fuse::find_mount(target);
  if (!entry.ok()) return complain(kCommand, entry.error());
  if (!entry.value()) {
    return complain(kCommand, Error(EINVAL, kCommand, fmt::format("{} is not mounted", target)));
  }
  if (entry.value()->type != "fuse.netfs") {
    return complain(kCommand, Error(EINVAL, kCommand,
                                    fmt::format("{} is not a mount of netfs but of type {}; use "
                                                "umount",
                                                target, entry.value()->type)));
  }
  const Result<void> done =
      fuse::unmount(target, lazy ? fuse::UnmountMode::kLazy : fuse::UnmountMode::kPlain);
  return done.ok() ? ExitCode::kOk : complain(kCommand, done.error());
}

bool is_mounted(const std::string& path) {
  const Result<std::optional<fuse::MountEntry>> entry = fuse::find_mount(path);
  return entry.ok() && entry.value();
}

}  // namespace

ExitCode run_umount(const std::string& target, bool lazy) {
  const Result<std::vector<daemon::OwnerPaths>> owners = all_owners();
  if (!owners.ok()) return complain(kCommand, owners.error());
  const bool is_url = target.find(':') != std::string::npos;
  const std::string path = is_url ? target : mount_point_path(target);
  const bool was_mounted = is_mounted(path);
  bool answer_lost = false;
  for (const daemon::OwnerPaths& paths : owners.value()) {
    const std::optional<Result<daemon::Connection>> connection = reach(paths);
    if (!connection || !connection->ok()) continue;
    const daemon::Request request{.verb = daemon::Verb::kUmount, .target = path, .lazy = lazy};
    Result<daemon::Response> response =
        daemon::ask(connection->value(), request, Deadline::after(Clock::system(), kUmountTimeout));
    answer_lost = answer_lost || !response.ok();
    if (!response.ok() || response.value().code == ENOENT) continue;
    // It is unmounted, also where it says what is not at the origin.
    if (response.value().code == 0 && response.value().line.empty()) return ExitCode::kOk;
    response.value().line = printable(response.value().line);
    return complain(kCommand, response.value());
  }
  // A worker that died over it may have done it all the same.
  if (answer_lost && was_mounted && !is_mounted(path)) return ExitCode::kOk;
  return unmount_ourselves(path, lazy);
}

}  // namespace netfs::cli
