#pragma once
// The lock classes of this module; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::origins::nfs {

inline constinit sync::LockClass kConnectionLock{"nfs.connection"};
inline constinit sync::LockClass kPoolLock{"nfs.pool"};
inline constinit sync::LockClass kCallLock{"nfs.call"};
inline constinit sync::LockClass kDirectoriesLock{"nfs.directories"};
inline constinit sync::LockClass kOwnersLock{"nfs.owners"};
inline constinit sync::LockClass kUnstableLock{"nfs.unstable"};

}  // namespace netfs::origins::nfs
