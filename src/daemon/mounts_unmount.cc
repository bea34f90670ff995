// How mounts of a worker end when somebody asks for it.

#include <ctime>

#include "daemon/mounts.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

// Who only looks at a mount, as df does, is gone in a moment.
constexpr Duration kBusyPatience = std::chrono::seconds(2);
constexpr timespec kBetweenTries{.tv_sec = 0, .tv_nsec = 50'000'000};

}  // namespace

Result<std::string> Mounts::unmount(const std::string& target, bool lazy) {
  uint64_t id = 0;
  std::string mount_point;
  std::shared_ptr<std::string> left;
  {
    const sync::MutexLock lock(mutex_);
    for (const auto& [number, entry] : entries_) {  // the newest has the highest number
      if (entry.state == State::kPreparing && !entry.adopted) continue;
      if (entry.mount_point != target && entry.url != target) continue;
      id = number;
      mount_point = entry.mount_point;
      left = entry.left;
    }
  }
  if (id == 0) {
    return Error(ENOENT, "umount", fmt::format("{} is not mounted by this daemon", target));
  }
  TRY(unmount_entry(id, mount_point, lazy));
  const sync::MutexLock lock(mutex_);
  return *left;
}

Result<void> Mounts::unmount_path(const std::string& mount_point, fuse::UnmountMode mode) {
  const Result<void> done = link_.unmount(mount_point, mode, Deadline::within(kOperationTimeout));
  return done.is_error(ECONNRESET) ? fuse::unmount(mount_point, mode) : done;
}

Result<void> Mounts::unmount_entry(uint64_t id, const std::string& mount_point, bool lazy) {
  const auto mode = lazy ? fuse::UnmountMode::kLazy : fuse::UnmountMode::kPlain;
  const Deadline patience = Deadline::within(kBusyPatience);
  Result<void> done = unmount_path(mount_point, mode);
  while (done.is_error(EBUSY) && !patience.passed(Clock::system().now())) {
    (void)::nanosleep(&kBetweenTries, nullptr);
    done = unmount_path(mount_point, mode);
  }
  if (done.is_error(EBUSY)) {
    return Error(EBUSY, "umount",
                 fmt::format("{} is in use; netfs umount --lazy detaches it", mount_point));
  }
  // EINVAL: somebody else unmounted it a moment ago.
  if (!done.ok() && !done.is_error(EINVAL)) return done.error();
  if (lazy) {
    const sync::MutexLock lock(mutex_);
    const auto it = entries_.find(id);
    if (it != entries_.end()) it->second.detached = true;
    return {};
  }
  if (!wait_removed(id, Deadline::within(kPredecessorTimeout))) {
    return Error(
        ETIMEDOUT, "umount",
        fmt::format(
            "{} is unmounted, but its daemon is still ending it; or another mount namespace "
            "has it (grep it in /proc/*/mountinfo)",
            mount_point));
  }
  return {};
}

bool Mounts::wait_removed(uint64_t id, Deadline deadline) {
  const sync::MutexLock lock(mutex_);
  while (entries_.count(id) > 0) {
    if (!moved_.wait_until(mutex_, deadline.at)) return false;
  }
  return true;
}

void Mounts::detach_busy(const std::string& mount_point, const Ref<MountInstance>& instance) {
  telemetry::log_warn(kRoom, "{} is in use; it is detached and its users get errors", mount_point);
  const Result<void> done = unmount_path(mount_point, fuse::UnmountMode::kLazy);
  if (!done.ok()) telemetry::log_error(kRoom, "{}", done.error().message());
  instance->stop_serving();  // the keeper does the rest
}

void Mounts::unmount_number(uint64_t id) {
  Ref<MountInstance> instance;
  {
    const sync::MutexLock lock(mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end() || it->second.state != State::kServing) return;
    instance = it->second.instance;
  }
  const std::string& mount_point = instance->spec().mount_point;
  const Result<void> done = unmount_path(mount_point, fuse::UnmountMode::kPlain);
  if (!done.ok() && !done.is_error(EINVAL)) detach_busy(mount_point, instance);
}

void Mounts::leave(Deadline deadline) {
  std::vector<Ref<MountInstance>> serving;
  {
    const sync::MutexLock lock(mutex_);
    leaving_ = true;
    for (const auto& [id, entry] : entries_) {
      if (entry.state == State::kServing) serving.push_back(entry.instance);
    }
  }
  for (const Ref<MountInstance>& mount : serving) mount->read_no_more();
  for (const Ref<MountInstance>& mount : serving) mount->wait_answered(deadline);
}

void Mounts::stop_all() {
  std::vector<uint64_t> serving;
  {
    const sync::MutexLock lock(mutex_);
    stopping_ = true;
    moved_.notify_all();
    for (const auto& [id, entry] : entries_) {
      if (entry.state == State::kServing) serving.push_back(id);
    }
  }
  for (const uint64_t id : serving) unmount_number(id);
}

}  // namespace netfs::daemon
