#pragma once
// umount_command: `netfs umount DIR|URL [--lazy]`.
//
// Asks the daemon that has it; where none answers for it, unmounts itself.  Returns once the daemon
// has taken the mount down.

#include <string>

#include "cli/command.h"

namespace netfs::cli {

ExitCode run_umount(const std::string& target, bool lazy);

}  // namespace netfs::cli
