#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::daemon {

inline constinit sync::LockClass kSupervisorLinkLock{"daemon.supervisor_link"};
inline constinit sync::LockClass kKeptDescriptorsLock{"daemon.kept_descriptors"};
inline constinit sync::LockClass kMountTableLock{"daemon.mount_table"};
inline constinit sync::LockClass kMountChangeLock{"daemon.mount_change"};
inline constinit sync::LockClass kSharedStoreLock{"daemon.shared_store"};
inline constinit sync::LockClass kWorkerLock{"daemon.worker"};
inline constinit sync::LockClass kWritingMarkLock{"daemon.writing_mark"};

}  // namespace netfs::daemon
