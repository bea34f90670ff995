#pragma once
// The lock classes of this room; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs {

inline constinit sync::LockClass kBufferPoolLock{"netfs.buffer_pool"};
inline constinit sync::LockClass kFileLock{"netfs.file"};
inline constinit sync::LockClass kLiveFileLock{"netfs.live_file"};
inline constinit sync::LockClass kDirtyFilesLock{"netfs.dirty_files"};
inline constinit sync::LockClass kDirtyFilesLatchLock{"netfs.dirty_files_latch"};
inline constinit sync::LockClass kFileTableLock{"netfs.file_table"};
inline constinit sync::LockClass kRequestListLock{"netfs.request_list"};
inline constinit sync::LockClass kBlockMemoryLock{"netfs.block_memory"};
inline constinit sync::LockClass kReadStreamLock{"netfs.read_stream"};
inline constinit sync::LockClass kLinkEstimateLock{"netfs.link_estimate"};
inline constinit sync::LockClass kReadsAheadLock{"netfs.reads_ahead"};
inline constinit sync::LockClass kHeldNamesLock{"netfs.held_names"};
inline constinit sync::LockClass kOffloadLock{"netfs.offload"};
inline constinit sync::LockClass kPaceLock{"netfs.pace"};
inline constinit sync::LockClass kLateOriginLock{"netfs.late_origin"};
inline constinit sync::LockClass kSimulatedLinkLock{"netfs.simulated_link"};
inline constinit sync::LockClass kSimulatedOriginLock{"netfs.simulated_origin"};
inline constinit sync::LockClass kMemoryCacheLock{"netfs.memory_cache"};

}  // namespace netfs
