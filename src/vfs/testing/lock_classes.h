#pragma once
// The lock classes of this room's tests.

#include "sync/lock_class.h"

namespace netfs::vfs {

inline constinit sync::LockClass kTestOriginLock{"test.vfs_origin"};
inline constinit sync::LockClass kTestGateLock{"test.vfs_gate"};
inline constinit sync::LockClass kTestLibraryLock{"test.vfs_library"};
inline constinit sync::LockClass kTestWaitLock{"test.vfs_wait"};

}  // namespace netfs::vfs
