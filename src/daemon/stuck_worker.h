#pragma once
// stuck_worker: helps a killed worker to its end when the kernel keeps it.
//
// A notification that makes the kernel forget a page waits, unkillably, for whoever reads that
// page; and the reader waits for an answer of the worker.  If the worker is killed just then, it
// cannot end before the read is answered, and nobody answers before it has ended: a successor is
// started only then.  So a child of the supervisor asks the kernel for what the worker left and
// answers it with errors, until the worker has ended.
//
// Nor can it end before a write to a disk that is frozen does.  That may be long, and nothing helps
// it: where only the cache is written so, its successor does not wait for it.
//
//   if (is_stuck_in_a_notification(worker)) helper = TRY(start_refusing({fd_of_each_mount}));

#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace netfs::daemon {

// Whether this process was killed, and is kept by nothing but threads that notify the kernel.
bool is_stuck_in_a_notification(pid_t worker);

// Whether this process is being killed, and is kept by threads at the disk of its cache, all of
// which stand still at this moment: what they change at an origin is not to come later.
bool is_kept_by_its_cache(pid_t worker);

// A child that refuses every request on these connections with EIO.  It ends with the connections,
// after half a minute, or by being killed.  For a process of one thread.
Result<pid_t> start_refusing(const std::vector<int>& fds);

}  // namespace netfs::daemon
