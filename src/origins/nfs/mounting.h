#pragma once
// Mounting: the handle of the root, from the server's mount service.
//
// A path below an export is mounted as it is where the server does that, else looked up from the
// nearest export above it; symbolic links on that way are followed.  What fails is said in a
// sentence: the name of the host, the port, the exports, or the path.

#include <string>

#include "origins/nfs/call.h"
#include "origins/nfs/settings.h"

namespace netfs::origins::nfs {

RpcTarget nfs_target(const Settings& settings);

Result<Handle> mount_root(const Settings& settings, Caller& caller, Deadline deadline);

}  // namespace netfs::origins::nfs
