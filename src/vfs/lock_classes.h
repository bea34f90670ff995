#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::vfs {

inline constinit sync::LockClass kInodeTableLock{"vfs.inode_table"};
inline constinit sync::LockClass kArenaMemoryLock{"vfs.arena_memory"};
inline constinit sync::LockClass kKeptWritesLock{"vfs.kept_writes"};
inline constinit sync::LockClass kKeepingLock{"vfs.keeping"};
inline constinit sync::LockClass kRevivalLock{"vfs.revival"};
inline constinit sync::LockClass kIntentsLock{"vfs.intents"};
inline constinit sync::LockClass kHiddenNamesLock{"vfs.hidden_names"};
inline constinit sync::LockClass kBackingLogLock{"vfs.backing_log"};
inline constinit sync::LockClass kPendingLock{"vfs.pending"};
inline constinit sync::LockClass kFlightsLock{"vfs.flights"};
inline constinit sync::LockClass kNameChangesLock{"vfs.name_changes"};
inline constinit sync::LockClass kLateTargetsLock{"vfs.late_targets"};
inline constinit sync::LockClass kPathHoldsLock{"vfs.path_holds"};
inline constinit sync::LockClass kLockTableLock{"vfs.lock_table"};
inline constinit sync::LockClass kSavedLocksLock{"vfs.saved_locks"};
inline constinit sync::LockClass kFileSystemStatsLock{"vfs.file_system_stats"};
inline constinit sync::LockClass kRefusedNamesLock{"vfs.refused_names"};

}  // namespace netfs::vfs
