#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::fuse {

inline constinit sync::LockClass kSessionLock{"fuse.session"};
inline constinit sync::LockClass kNotifierLock{"fuse.notifier"};
inline constinit sync::LockClass kBackingLock{"fuse.backing"};
inline constinit sync::LockClass kRingLock{"fuse.ring"};
inline constinit sync::LockClass kFakeKernelLock{"fuse.fake_kernel"};

}  // namespace netfs::fuse
