#pragma once
// mount_command: from words of a command line to a mounted directory.
//
// Used by `netfs mount` and by mount.netfs.  The cache directory is made (0700) if it is missing,
// its daemon is found or started, and the mount is asked of it.  Returns only once it is mounted;
// in front, once it is unmounted.

#include <string>
#include <vector>

#include "cli/command.h"
#include "daemon/options.h"

namespace netfs::cli {

struct MountArguments {
  std::string url;
  std::string mount_point;
  std::vector<std::string> words;  // each a list after -o
  daemon::OptionMap flags;         // from long flags: they win over words
  std::string config_file;         // instead of the usual ones; empty: those
};

// Hands a remount to the kernel where the words ask for one.
ExitCode run_mount(const MountArguments& arguments);

}  // namespace netfs::cli
