#pragma once
// owners: all daemons of this user, for commands that look for a mount or ask each of them.

#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/launch.h"

namespace netfs::cli {

struct Owner {
  std::string name;
  Result<daemon::Connection> connection;  // why not, where it does not answer
};

// Those that live; what dead ones left behind is removed.
Result<std::vector<Owner>> reach_owners();

}  // namespace netfs::cli
