#pragma once
// The lock classes of the tests' own locks; all are leaves.

#include "sync/lock_class.h"

namespace netfs::test {

inline constinit sync::LockClass kWatchdogLock{"test.watchdog"};
inline constinit sync::LockClass kVolatileDiskLock{"test.volatile_disk"};

}  // namespace netfs::test
