#include "cli/owners.h"

#include <time.h>
#include <unistd.h>

#include "daemon/runtime_dir.h"
#include "fuse/mount_table.h"

namespace netfs::cli {

namespace {

constexpr Duration kHelloTimeout = std::chrono::seconds(5);
// Five seconds for a worker that follows another one.
constexpr timespec kMoment{.tv_sec = 0, .tv_nsec = 50'000'000};
constexpr unsigned kMomentsMax = 100;

}  // namespace

Result<std::vector<daemon::OwnerPaths>> all_owners() {
  const std::string directory = TRY(daemon::runtime_dir());
  std::vector<daemon::OwnerPaths> owners;
  for (const std::string& name : daemon::list_owners(directory)) {
    owners.push_back(daemon::owner_paths(directory, name));
  }
  return owners;
}

std::optional<Result<daemon::Connection>> reach(const daemon::OwnerPaths& paths) {
  Result<daemon::Connection> connection = daemon::connect_owner(
      paths, Deadline::after(Clock::system(), kHelloTimeout), daemon::Version::kAny);
  const int code = connection.code();
  if (code == ENOENT || code == ECONNRESET) return std::nullopt;  // it ended while we looked
  if (code != ECONNREFUSED) return connection;
  const Result<std::optional<UniqueFd>> lock = daemon::try_lock_owner(paths);
  if (!lock.ok() || !lock.value()) return std::nullopt;  // just starting
  ::unlink(paths.socket.c_str());
  ::unlink(paths.lock.c_str());
  return std::nullopt;
}

bool waits_for_worker(const std::string& path, unsigned& moments) {
  const Result<std::optional<fuse::MountEntry>> there = fuse::find_mount(path);
  const bool mounted = there.ok() && there.value() && there.value()->type == "fuse.netfs";
  if (!mounted || moments >= kMomentsMax) return false;
  ++moments;
  ::nanosleep(&kMoment, nullptr);
  return true;
}

}  // namespace netfs::cli
