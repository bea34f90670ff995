#include "origins/file/file_origin.h"

namespace {

constexpr netfs::origins::OriginTraits kTraits = {
    .on = "a local folder",
    .versions = "weak: times, size, inode",
    .identity = "device and inode",
    .changes = "all",
    .locks = "of all who lock there",
};

const char* const kOptions[] = {nullptr};

}  // namespace

NETFS_ORIGIN_MODULE("file", "0.1.0", kTraits, kOptions, &netfs::origins::FileOrigin::open)
