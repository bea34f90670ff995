#include "daemon/child_operation.h"

#include <csignal>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "daemon/worker_process.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr Duration kChildTimeout = std::chrono::seconds(10);

Packet failed(uint64_t id, int code, const std::string& why) {
  return Packet{encode(SupervisorMessage{
                    .verb = SupervisorVerb::kAnswer, .id = id, .code = code, .text = why}),
                {}};
}

Packet carry_out(const WorkerMessage& message) {
  if (message.verb == WorkerVerb::kUnmount) {
    const Result<void> done = fuse::unmount(message.mount.mount_point, message.mode);
    if (!done.ok()) return failed(message.id, done.code(), done.error().message());
    return failed(message.id, 0, "");
  }
  Result<std::vector<UniqueFd>> fds = fuse::mount(message.mount);
  if (!fds.ok()) return failed(message.id, fds.code(), fds.error().message());
  Packet answer = failed(message.id, 0, "");
  answer.fds = std::move(fds).value();
  return answer;
}

[[noreturn]] void child_main(const WorkerMessage& message, int socket) {
  reset_signals();
  ::prctl(PR_SET_NAME, "netfs-mounter");
  const Packet answer = carry_out(message);
  std::vector<int> fds;
  for (const UniqueFd& fd : answer.fds) fds.push_back(fd.get());
  const Result<void> sent = send_packet(socket, answer.text, fds, Deadline::within(kChildTimeout));
  ::_exit(sent.ok() ? 0 : 1);
}

}  // namespace

ChildOperation::ChildOperation(WorkerMessage message, Deadline deadline, UniqueFd socket, pid_t pid)
    : message_(std::move(message)), deadline_(deadline), socket_(std::move(socket)), pid_(pid) {}

Result<ChildOperation> ChildOperation::start(WorkerMessage message, Deadline deadline) {
  auto [ours, theirs] = TRY(packet_pair());
  const pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("fork");
  if (pid == 0) child_main(message, theirs.get());
  return ChildOperation(std::move(message), deadline, std::move(ours), pid);
}

Packet ChildOperation::finish() {
  Result<Packet> answer = receive_packet(socket_.get(), Deadline::within(kChildTimeout));
  int status = 0;
  if (!answer.ok()) kill_process(pid_, SIGKILL);
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (!answer.ok()) return failed(message_.id, EIO, "the mounting process died");
  return std::move(answer).value();
}

Packet ChildOperation::abandon() {
  kill_process(pid_, SIGKILL);
  return failed(
      message_.id, ETIMEDOUT,
      fmt::format("{} does not answer; mounting was given up", message_.mount.mount_point));
}

}  // namespace netfs::daemon
