#pragma once
// The lock classes of this module; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::origins::ceph {

inline constinit sync::LockClass kCallLock{"ceph.call"};
inline constinit sync::LockClass kLateChangesLock{"ceph.late_changes"};
inline constinit sync::LockClass kOverdueLock{"ceph.overdue"};
inline constinit sync::LockClass kTransferLock{"ceph.transfer"};
inline constinit sync::LockClass kSessionsLock{"ceph.sessions"};
inline constinit sync::LockClass kAttemptsLock{"ceph.attempts"};

}  // namespace netfs::origins::ceph
