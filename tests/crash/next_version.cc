// The version of netfs-next, a netfs as the next release may be: all else is the same.

#include "daemon/version.h"

namespace netfs::daemon {

const char* const kVersion = "next";

}  // namespace netfs::daemon
