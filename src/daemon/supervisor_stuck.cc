// What a supervisor does for a worker that was killed and does not end (stuck_worker.h).

#include <csignal>
#include <poll.h>

#include "daemon/mount_state.h"
#include "daemon/stuck_worker.h"
#include "daemon/supervisor.h"
#include "daemon/worker_process.h"
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
    end_connection(it->second);
    undo_mount(mount_point, fuse::UnmountMode::kForce);
    it = held_.erase(it);
    exit_code_ = 1;
  }
}

// It ends by itself some day; nobody has to wait for that.
void Supervisor::abandon_worker(std::string_view where) {
  const int status = wait_status_of(worker_pid_);
  shout(fmt::format("the worker {} {}: it is left behind", describe_death(status), where));
  // It says nothing more, and its end of the socket may stay open.
  pollfd said{.fd = worker_socket_.get(), .events = POLLIN, .revents = 0};
  while (worker_socket_ && ::poll(&said, 1, 0) > 0) serve_worker();
  worker_socket_.reset();
  end_rings();
  abandoned_.push_back(worker_pid_);
  worker_died(status);
}

void Supervisor::check_worker() {
  look_at_ = Clock::system().now() + kBetweenLooks;
  const bool notifies = !held_.empty() && is_stuck_in_a_notification(worker_pid_);
  const bool kept = notifies || (!held_.empty() && abandoned_.size() < kAbandonedMax &&
                                 is_kept_by_its_cache(worker_pid_));
  kept_looks_ = kept ? kept_looks_ + 1 : 0;
  // The socket's end says that all that it had open is closed, and no other thread of it lives.
  if ((notifies && !worker_socket_) || kept_looks_ == kKeptLooks) {
    abandon_worker(notifies ? "while it told the kernel to forget what somebody waits for"
                            : "while it wrote to its cache, whose disk stands still");
  }
}

}  // namespace netfs::daemon
