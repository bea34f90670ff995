#pragma once
// stuck_worker: whether a killed worker is kept by the kernel, so that its successor is not to wait
// for its end.
//
// A notification that makes the kernel forget a page waits, unkillably, for whoever reads that
// page; and the reader waits for an answer of the worker.  If the worker is killed just then, it
// cannot end before the read is answered, and nobody but a successor answers that.  The thread that
// notifies has no descriptor but the connection's (fuse/notifier.h): what else the worker had open
// and locked is free once its other threads have ended.
//
// Nor can it end before a write to a disk that is frozen does.  That may be long, and nothing helps
// it: where only the cache is written so, its successor does not wait for it.
//
//   if (is_stuck_in_a_notification(worker)) abandon(worker);

#include <string_view>
#include <sys/types.h>

namespace netfs::daemon {

// Whether this process was killed, and is kept by nothing but threads that notify the kernel.
bool is_stuck_in_a_notification(pid_t worker);

// Whether this process is being killed, and is kept by threads at the disk of its cache, all of
// which stand still at this moment: what they change at an origin is not to come later.
bool is_kept_by_its_cache(pid_t worker);

// Whether a thread of this name writes to the disk of the cache or of the journal.
bool is_at_the_cache(std::string_view thread);

// Of a process whose first thread has ended: what wait(2) will say of it; SIGKILL where the kernel
// does not tell.
int wait_status_of(pid_t dying);

}  // namespace netfs::daemon
