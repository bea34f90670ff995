#pragma once
// status_command: `netfs status [DIR|URL] [--dirty] [--json]`.

#include <string>

#include "cli/command.h"

namespace netfs::cli {

struct StatusFormat {
  bool as_json = false;
  bool dirty = false;  // only what the origin does not have yet
};
ExitCode run_status(const std::string& target, StatusFormat format);

}  // namespace netfs::cli
