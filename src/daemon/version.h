#pragma once
// The version of netfs, as CMakeLists.txt has it.

namespace netfs::daemon {

#ifdef NETFS_VERSION
inline constexpr const char* kVersion = NETFS_VERSION;
#else
inline constexpr const char* kVersion = "unknown";
#endif

}  // namespace netfs::daemon
