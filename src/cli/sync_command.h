#pragma once
// sync_command: `netfs sync DIR|URL [--timeout TIME]`.
//
// Returns once the origin has all that was written before; fails when it has not by then.

#include <string>

#include "base/clock.h"
#include "cli/command.h"

namespace netfs::cli {

ExitCode run_sync(const std::string& target, const std::string& timeout);

}  // namespace netfs::cli
