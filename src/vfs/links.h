#pragma once
// Which symbolic links stay in the mounted tree.  Pure.

#include <string_view>

namespace netfs::vfs {

// Whether a link in `directory` (relative to the mounted root) with this target leads to a place
// beneath the root by its text: relative, and never above the root on its way.
bool stays_beneath(std::string_view directory, std::string_view target);

}  // namespace netfs::vfs
