#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::origins {

inline constinit sync::LockClass kModuleTableLock{"origins.module_table"};

}  // namespace netfs::origins
