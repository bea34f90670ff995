#pragma once
// dead_mount: what a netfs that was killed with all its processes leaves on a mount point: a mount
// that the kernel shows, and every call on it fails with ENOTCONN.
//
//   TRY(take_dead_mount_away("/mnt/a"));   // then it can be mounted on

#include <string>

#include "base/result.h"

namespace netfs::cli {

// Takes it away and says so in a line; nothing where there is none.  Asks a child of ours, for a
// mount whose daemon hangs answers never: such a one stays.  For a process of one thread.
Result<void> take_dead_mount_away(const std::string& mount_point);

}  // namespace netfs::cli
