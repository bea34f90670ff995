#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::cachefiles {

inline constinit sync::LockClass kTableLock{"cachefiles.table"};
inline constinit sync::LockClass kObjectLock{"cachefiles.object"};
inline constinit sync::LockClass kFilesLock{"cachefiles.files"};
inline constinit sync::LockClass kWriterLock{"cachefiles.writer"};
inline constinit sync::LockClass kIndexLock{"cachefiles.index"};
inline constinit sync::LockClass kWalIndexLock{"cachefiles.wal_index"};
inline constinit sync::LockClass kVolumesLock{"cachefiles.volumes"};
inline constinit sync::LockClass kSimDiskLock{"cachefiles.sim_disk"};

}  // namespace netfs::cachefiles
