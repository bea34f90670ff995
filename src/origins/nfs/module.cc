#include "origins/nfs/nfs4_origin.h"
#include "origins/nfs/nfs_origin.h"

namespace {

constexpr netfs::origins::OriginTraits kTraits = {
    .on = "libnfs, NFS version 3, or 4.0 to read",
    .versions = "weak: mtime, ctime, size, fileid; by 4 the change attribute, too",
    .identity = "fsid and fileid",
    .changes = "all but extended attributes and fallocate; by 4 none",
    .locks = "here only",
};

const char* const kOptions[] = {
    "version",
    "of the protocol: 3 (default), or 4 for 4.0, which reads only",
    "nfsport",
    "port of the NFS service (default 2049)",
    "mountport",
    "port of the mount service of version 3 (default: the server's portmapper says it)",
    "connections",
    "how many TCP connections, 1 to 16 (default 4)",
    nullptr,
};

netfs::Result<std::unique_ptr<netfs::Origin>> open_nfs(
    const netfs::origins::OriginRequest& request) {
  using namespace netfs::origins::nfs;
  Settings settings = TRY(Settings::parse(request));
  if (settings.version == 4) return Nfs4Origin::open(request, std::move(settings));
  return NfsOrigin::open(request, std::move(settings));
}

}  // namespace

NETFS_ORIGIN_MODULE("nfs", "0.1.0", kTraits, kOptions, &open_nfs)
