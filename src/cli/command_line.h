#pragma once
// command_line: the words of the netfs command, its help, and which command they run.

#include "cli/command.h"

namespace netfs::cli {

ExitCode run_command_line(int argc, char** argv);

}  // namespace netfs::cli
