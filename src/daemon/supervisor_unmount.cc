// Supervisor: mounts that end by its own hand.

#include <string>
#include <utility>

#include "daemon/supervisor.h"
#include "fuse/connection.h"
#include "telemetry/log.h"

namespace netfs::daemon {

void Supervisor::give_up(const std::string& why) {
  for (const auto& [id, held] : held_) {
    shout(fmt::format("giving up {}: {}; unmount it with: umount -l {}", held.mount_point, why,
                      held.mount_point));
    end_connection(held);
  }
  if (held_.empty()) shout(fmt::format("giving up: {}", why));
  held_.clear();
  ended_ = true;
  exit_code_ = 1;
}

// Of a mount that nobody serves any more.  To close our descriptors is not enough where somebody
// else cannot close his: a worker that was left behind, a child in a wait that nothing ends.
void Supervisor::end_connection(const Held& held) const {
  if (held.fds.empty()) return;
  const Result<void> ended = fuse::abort_connection(held.fds.front().get(), held.connection);
  if (ended.ok() || abandoned_.empty()) return;
  shout(fmt::format("{} is served no more, and its users wait for what was left behind: {}",
                    held.mount_point, ended.error().message()));
}

// A mount is one only once its worker has said kKeep.  What was being mounted when its worker died
// is undone: the asker was told of a failure, and the answer to the kernel's INIT, which comes once
// a connection, may be gone with the worker.
void Supervisor::drop_unfinished() {
  for (ChildOperation& operation : operations_) operation.orphan();
  for (auto it = held_.begin(); it != held_.end();) {
    if (it->second.kept) {
      ++it;
      continue;
    }
    const std::string mount_point = it->second.mount_point;
    end_connection(it->second);  // whoever is in it gets errors
    it = held_.erase(it);
    undo_mount(mount_point, fuse::UnmountMode::kLazy);
  }
}

void Supervisor::undo_mount(const std::string& mount_point, fuse::UnmountMode mode) {
  WorkerMessage undo{.verb = WorkerVerb::kUnmount, .mode = mode};
  undo.mount.mount_point = mount_point;
  Result<ChildOperation> operation = ChildOperation::start(
      std::move(undo), Deadline::after(Clock::system(), options_.operation_timeout));
  if (!operation.ok()) {
    shout(fmt::format("{} stays mounted and dead: {}", mount_point, operation.error().message()));
    return;
  }
  operation.value().orphan();  // whatever worker is there did not ask for it
  operations_.push_back(std::move(operation).value());
}

// A worker that follows others, and finds no mount and nobody who knocks, ends.  Our client may be
// about to knock: the one that it would have asked, or had asked, was killed.
bool Supervisor::may_be_asked() const {
  return options_.listener && options_.client > 0 && workers_started_ > 1;
}

void Supervisor::unmount_held() {
  for (const auto& [id, held] : held_) {
    end_connection(held);
    undo_mount(held.mount_point, fuse::UnmountMode::kLazy);
  }
  held_.clear();
}

}  // namespace netfs::daemon
