#include "cli/owners.h"

#include <unistd.h>

#include "daemon/runtime_dir.h"

namespace netfs::cli {

namespace {

constexpr Duration kHelloTimeout = std::chrono::seconds(5);

}  // namespace

Result<std::vector<Owner>> reach_owners() {
  const std::string directory = TRY(daemon::runtime_dir());
  std::vector<Owner> owners;
  for (const std::string& name : daemon::list_owners(directory)) {
    const daemon::OwnerPaths paths = daemon::owner_paths(directory, name);
    Result<daemon::Connection> connection =
        daemon::connect_owner(paths, Deadline::after(Clock::system(), kHelloTimeout));
    const int code = connection.code();
    if (code == ENOENT || code == ECONNRESET) continue;  // it ended while we looked
    if (code == ECONNREFUSED) {
      const Result<std::optional<UniqueFd>> lock = daemon::try_lock_owner(paths);
      if (!lock.ok() || !lock.value()) continue;  // just starting
      ::unlink(paths.socket.c_str());
      ::unlink(paths.lock.c_str());
      continue;
    }
    owners.push_back({name, std::move(connection)});
  }
  return owners;
}

}  // namespace netfs::cli
