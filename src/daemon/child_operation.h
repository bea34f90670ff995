#pragma once
// ChildOperation: one mount or unmount, done by a child of the supervisor.
//
// Whoever mounts or unmounts may wait for a server or a dead disk on the way to the mount point:
// the supervisor must not.  The child does it and sends a SupervisorMessage (kAnswer), with the
// descriptors of a mount, over a socket; its end without one is a failure as well.  For a process
// of one thread only (the child goes on after fork).
//
//   ChildOperation operation = TRY(ChildOperation::start(message, deadline));
//   // poll operation.socket(); then
//   Packet answer = operation.finish();

#include <sys/types.h>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/packet.h"
#include "daemon/supervisor_message.h"

namespace netfs::daemon {

class ChildOperation {
 public:
  static Result<ChildOperation> start(WorkerMessage message, Deadline deadline);
  ChildOperation(ChildOperation&&) = default;
  ChildOperation& operator=(ChildOperation&&) = default;

  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const WorkerMessage& message() const { return message_; }
  [[nodiscard]] Deadline deadline() const { return deadline_; }
  // Whether the worker that asked for it has died: nobody waits for its answer.
  [[nodiscard]] bool orphaned() const { return orphaned_; }
  void orphan() { orphaned_ = true; }

  // The answer, once the socket is readable; an error of ours when the child died.
  Packet finish();
  // Kills the child, which is overdue, and leaves it to the caller to reap: it may be in a wait
  // that nothing ends.  The answer is ETIMEDOUT.
  Packet abandon();

 private:
  ChildOperation(WorkerMessage message, Deadline deadline, UniqueFd socket, pid_t pid);

  WorkerMessage message_;
  Deadline deadline_;
  UniqueFd socket_;
  pid_t pid_;
  bool orphaned_ = false;
};

}  // namespace netfs::daemon
