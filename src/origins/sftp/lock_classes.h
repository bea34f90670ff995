#pragma once
// The lock classes of this module; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::origins::sftp {

inline constinit sync::LockClass kConnectionLock{"sftp.connection"};
inline constinit sync::LockClass kPoolLock{"sftp.pool"};
inline constinit sync::LockClass kFileLock{"sftp.file"};
inline constinit sync::LockClass kHandleLedgerLock{"sftp.handle_ledger"};
inline constinit sync::LockClass kCallLock{"sftp.call"};
inline constinit sync::LockClass kReadJobLock{"sftp.read_job"};
inline constinit sync::LockClass kWriteJobLock{"sftp.write_job"};

}  // namespace netfs::origins::sftp
