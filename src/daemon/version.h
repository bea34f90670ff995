#pragma once
// The version of netfs, as CMakeLists.txt has it.

namespace netfs::daemon {

extern const char* const kVersion;

}  // namespace netfs::daemon
