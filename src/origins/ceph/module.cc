#include "origins/ceph/ceph_origin.h"

namespace {

constexpr netfs::origins::OriginTraits kTraits = {
    .on = "libcephfs",
    .versions = "strong: version, size, mtime, inode",
    .identity = "inode",
    .changes = "all but holes and copies there",
    .locks = "of all who lock there",
};

const char* const kOptions[] = {
    "id",      "as whom the cluster is asked: client.ID (default admin)",
    "keyring", "file with the key of that client (default: what the configuration says)",
    "conf",    "the cluster's configuration (default /etc/ceph/ceph.conf, as Ceph's own programs)",
    nullptr,
};

}  // namespace

NETFS_ORIGIN_MODULE("ceph", "0.1.0", kTraits, kOptions, &netfs::origins::ceph::CephOrigin::open)
