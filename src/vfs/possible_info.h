#pragma once
// is_possible: whether a file can have the attributes that an origin says of one.  Pure.

#include "netfs/attributes.h"

namespace netfs::vfs {

[[nodiscard]] bool is_possible(const NodeInfo& info);

}  // namespace netfs::vfs
