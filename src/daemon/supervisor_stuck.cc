// What a supervisor does for a worker that was killed and does not end (stuck_worker.h).

#include <csignal>
#include <poll.h>

#include "daemon/mount_state.h"
#include "daemon/stuck_worker.h"
#include "daemon/supervisor.h"
#include "fuse/connection.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr unsigned kKeptLooks = 3;   // a disk that is only slow is waited for
constexpr size_t kAbandonedMax = 8;  // each keeps its memory

}  // namespace

// Nobody can refuse what a dead worker's ring holds: such mounts end now.
void Supervisor::end_rings() {
  for (auto it = held_.begin(); it != held_.end();) {
    const Result<MountState> state = decode_mount_state(it->second.state);
    const bool ring = state.ok() && state.value().negotiated &&
                      state.value().negotiated->has(fuse::proto::kOverIoUring);
    const std::string& mount_point = it->second.mount_point;
    if (!ring || !fuse::connection_number(mount_point, state.value().url)) {
      ++it;
      continue;
    }
    shout(fmt::format("{}: over io_uring its requests went with its worker", mount_point));
    undo_mount(mount_point, fuse::UnmountMode::kForce);
    it = held_.erase(it);
    exit_code_ = 1;
  }
}

// It ends by itself some day; nobody has to wait for that.
void Supervisor::abandon_worker(std::string_view why) {
  shout(fmt::format("the worker was killed while {}: it is left behind", why));
  // It says nothing more, and its end of the socket stays open.
  pollfd said{.fd = worker_socket_.get(), .events = POLLIN, .revents = 0};
  while (worker_socket_ && ::poll(&said, 1, 0) > 0) serve_worker();
  worker_socket_.reset();
  end_rings();
  abandoned_.push_back(worker_pid_);
  worker_died(SIGKILL);
}

void Supervisor::check_worker() {
  look_at_ = Clock::system().now() + kBetweenLooks;
  if (!held_.empty() && is_stuck_in_a_notification(worker_pid_)) {
    return abandon_worker("it told the kernel to forget something that somebody waits for");
  }
  const bool kept =
      !held_.empty() && abandoned_.size() < kAbandonedMax && is_kept_by_its_cache(worker_pid_);
  kept_looks_ = kept ? kept_looks_ + 1 : 0;
  if (kept_looks_ == kKeptLooks) {
    abandon_worker("it wrote to its cache, whose disk stands still");
  }
}

}  // namespace netfs::daemon
