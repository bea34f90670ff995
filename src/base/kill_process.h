#pragma once
// kill_process, kill_group: send a signal to one process, or to one group, that this project
// started, and to nothing else.  The only callers of kill(2): tools/check style sees to that.
//
// kill(2) takes 0, -1 and other negative numbers for groups and for everybody: a pid that was never
// known (-1) would end every process of the machine.  So whatever is no pid of ours asserts.
// Signal 0 asks whether the process exists.  Answer 0 or an errno, ESRCH above all.
//
//   if (kill_process(worker, SIGKILL) == ESRCH) ...

#include <cerrno>
#include <csignal>
#include <sys/types.h>

#include "base/assert.h"

namespace netfs {

inline int kill_process(pid_t pid, int signal_number) {
  NETFS_ASSERT(pid > 1);
  return ::kill(pid, signal_number) == 0 ? 0 : errno;
}

// The group whose leader was started as `leader`.
inline int kill_group(pid_t leader, int signal_number) {
  NETFS_ASSERT(leader > 1);
  return ::kill(-leader, signal_number) == 0 ? 0 : errno;
}

}  // namespace netfs
