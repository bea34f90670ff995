#include "daemon/version.h"

namespace netfs::daemon {

#ifdef NETFS_VERSION
const char* const kVersion = NETFS_VERSION;
#else
const char* const kVersion = "unknown";
#endif

}  // namespace netfs::daemon
