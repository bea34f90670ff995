#pragma once
// owners: all daemons of this user, for commands that look for a mount or ask each of them.
//
//   for (const daemon::OwnerPaths& paths : TRY(all_owners())) {
//     const std::optional<Result<daemon::Connection>> connection = reach(paths);
//     ...
//   }

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/launch.h"

namespace netfs::cli {

// Where each of them is to be found; some may have ended.
Result<std::vector<daemon::OwnerPaths>> all_owners();

// To be asked at once and let go before the next is reached: a daemon does not end while somebody
// stands at its door.  One of another version as well: who has installed a new netfs still asks
// about what the old one has mounted.  An error: why it does not answer.  Nullopt: it is just
// starting, or has ended, and then what it left behind is removed.
std::optional<Result<daemon::Connection>> reach(const daemon::OwnerPaths& paths);

// A mount whose worker has died is there while another one comes: waits a moment if `path` is one
// and that was not done too often already.  `moments`: of this caller, from 0 on.
bool waits_for_worker(const std::string& path, unsigned& moments);

}  // namespace netfs::cli
