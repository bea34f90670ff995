#include "origins/nfs/nfs_origin.h"

namespace {

constexpr netfs::origins::OriginTraits kTraits = {
    .on = "libnfs, NFS version 3",
    .versions = "weak: mtime, ctime, size, fileid",
    .identity = "fsid and fileid",
    .changes = "all but extended attributes and fallocate",
    .locks = "here only",
};

const char* const kOptions[] = {
    "version",     "of the protocol: 3",
    "nfsport",     "port of the NFS service (default 2049)",
    "mountport",   "port of the mount service (default: the server's portmapper says it)",
    "connections", "how many TCP connections, 1 to 16 (default 4)",
    nullptr,
};

}  // namespace

NETFS_ORIGIN_MODULE("nfs", "0.1.0", kTraits, kOptions, &netfs::origins::nfs::NfsOrigin::open)
