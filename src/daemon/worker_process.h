#pragma once
// worker_process: how the supervisor starts the process that does everything else.
//
// The worker is this same program, started with the argument "worker"; it finds the supervisor's
// socket as descriptor kWorkerSocketFd and the listening control socket as kWorkerListenFd.

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace netfs::daemon {

inline constexpr int kWorkerSocketFd = 3;
inline constexpr int kWorkerListenFd = 4;
inline constexpr int kCannotExec = 127;  // the exit code of a child whose program cannot be started

// Unblocks all signals and gives them their default action: for a child before exec.
void reset_signals();

// `command` is program and arguments; the program's path is used as it is.
Result<pid_t> start_worker(const std::vector<std::string>& command, int socket, int listener);

// "was killed by signal 9 (Killed)", of what wait(2) said.
std::string describe_death(int wait_status);

}  // namespace netfs::daemon
