#include "origins/file/file_origin.h"

namespace {

const char* const kOptions[] = {nullptr};

}  // namespace

NETFS_ORIGIN_MODULE("file", "0.1.0", kOptions, &netfs::origins::FileOrigin::open)
