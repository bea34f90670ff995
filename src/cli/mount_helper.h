#pragma once
// mount_helper: mount.netfs and mount.fuse.netfs, as mount(8) calls them.
//
//   mount.netfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o LIST]

#include "cli/command.h"

namespace netfs::cli {

// Whether the program was called by one of those names.
bool is_mount_helper(std::string_view program);

ExitCode run_mount_helper(int argc, char** argv);

}  // namespace netfs::cli
