#pragma once
// bwlimit_command: `netfs bwlimit DIR|URL [RATE]`.
//
// Shows how a mount's bandwidth is limited, or limits it anew, at once.

#include <string>

#include "cli/command.h"

namespace netfs::cli {

// `rate`: as daemon/bandwidth.h has it; empty: only shown.
ExitCode run_bwlimit(const std::string& target, const std::string& rate);

}  // namespace netfs::cli
