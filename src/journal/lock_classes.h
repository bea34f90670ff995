#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::journal {

inline constinit sync::LockClass kStateLock{"journal.state"};
inline constinit sync::LockClass kLogLock{"journal.log"};
inline constinit sync::LockClass kWaitLock{"journal.wait"};
inline constinit sync::LockClass kReaderLock{"journal.reader"};

}  // namespace netfs::journal
