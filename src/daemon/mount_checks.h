#pragma once
// mount_checks: what must not be mounted, found before anything is.
//
// A daemon that reads or writes below its own mount waits for itself.  So a cache directory or a
// local origin under the mount point is refused, and a mount point inside a local origin's tree,
// and either of them on any mount of this daemon.
//
// Errors: ELOOP with a sentence.  Paths are absolute and resolved where they exist.

#include <string>
#include <vector>

#include "base/result.h"

namespace netfs::daemon {

// Whether `path` is `directory` or lies below it.
bool lies_under(const std::string& path, const std::string& directory);

// The path without links, "." and ".."; as far as it exists.
std::string resolved(const std::string& path);

struct MountPlan {
  std::string mount_point;
  std::string cache_dir;                // empty: none
  std::string local_origin;             // path of a file: URL, else empty
  std::vector<std::string> own_mounts;  // mount points that this daemon serves
};
Result<void> check_plan(const MountPlan& plan);

// Which mount namespace this process is in, as text; a daemon in another one would mount where its
// asker does not see it.
std::string mount_namespace();

}  // namespace netfs::daemon
