#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::sync {

inline constinit LockClass kWorkQueueLock{"sync.work_queue"};

}  // namespace netfs::sync
