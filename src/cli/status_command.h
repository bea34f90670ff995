#pragma once
// status_command: `netfs status [DIR|URL] [--json]`.

#include <string>

#include "cli/command.h"

namespace netfs::cli {

ExitCode run_status(const std::string& target, bool as_json);

}  // namespace netfs::cli
