#pragma once
// mount_helper: fusermount3, the set-user-id program that mounts FUSE for ordinary users.
//
// It opens /dev/fuse, mounts, and hands the descriptor over the socket that _FUSE_COMMFD names.
// What it says on standard error becomes the Error's detail.  ENOEXEC: it is not installed.

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::fuse {

Result<UniqueFd> helper_mount(const std::string& mount_point, const std::string& options);
Result<void> helper_unmount(const std::string& mount_point, bool lazy);

}  // namespace netfs::fuse
