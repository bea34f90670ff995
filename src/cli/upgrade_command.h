#pragma once
// netfs upgrade: another program serves what is mounted, without unmounting it.

#include <string>

#include "cli/command.h"

namespace netfs::cli {

// `target`: a mount point or URL, or empty: all daemons of this user.  `program`: empty: this one.
ExitCode run_upgrade(const std::string& target, const std::string& program);

}  // namespace netfs::cli
