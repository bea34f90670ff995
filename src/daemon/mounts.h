#pragma once
// Mounts: the mounts of one worker, from a user's request to the end of each.
//
// mount() prepares first (options, origin, cache) and mounts last, so that a failure at any step
// leaves nothing mounted.  A mount of a URL or directory whose last mount is just ending waits for
// that end.  Each mount has a keeper, a thread that waits for its unmount and takes it down.
//
// Thread-safe; all but stop_all() may wait, boundedly, for origins, disks and the supervisor.

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "daemon/control_message.h"
#include "daemon/lock_classes.h"
#include "daemon/mount_instance.h"
#include "daemon/shared_store.h"
#include "daemon/supervisor_link.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::daemon {

class Mounts {
 public:
  static constexpr const char* kRoom = "mount";  // in the log

  // Called after each change, from any thread and under no lock.
  using Changed = std::function<void()>;

  Mounts(SupervisorLink& link, SharedStore& store, Changed changed);
  // All mounts have ended before.
  ~Mounts();

  // The number of the mount, for later.
  Result<uint64_t> mount(const Request& request) EXCLUDES(mutex_);
  // Serves on what an earlier worker left; tries as long as the mount's timeout, then gives it up.
  void adopt(Adopted adopted) EXCLUDES(mutex_);
  // `target` is a mount point or a URL; the newest mount of it.  Returns LeftBehind::line(): of one
  // that is detached nothing is known yet.  ENOENT: none of ours.
  Result<std::string> unmount(const std::string& target, bool lazy) EXCLUDES(mutex_);
  // By number, lazily if it is in use; of an asker that is gone.
  void unmount_number(uint64_t id) EXCLUDES(mutex_);
  // Begins to unmount all, also what is still being mounted; those in use are detached and their
  // users get errors.  When the supervisor is gone, this process unmounts by itself.
  void stop_all() EXCLUDES(mutex_);

  // For a worker after this one to go on: reads no more requests of any mount, and waits until
  // those that were read are answered, or until the deadline.  Nothing is unmounted or released.
  void leave(Deadline deadline) EXCLUDES(mutex_);

  // The same of those that `target` finds, and what limit they had is forgotten; also by the
  // workers that follow this one.
  std::vector<Ref<MountInstance>> limit(const std::string& target, const Bandwidth& bandwidth)
      EXCLUDES(mutex_, changing_);

  [[nodiscard]] bool empty() const EXCLUDES(mutex_);
  [[nodiscard]] bool ended(uint64_t id) const EXCLUDES(mutex_);
  // Joins the keepers of mounts that have ended.
  void bury() EXCLUDES(mutex_);

  // Those that serve; with `target` that mount point or URL, or a path below a mount point.
  [[nodiscard]] std::vector<Ref<MountInstance>> find(const std::string& target) const
      EXCLUDES(mutex_);

 private:
  static constexpr Duration kOperationTimeout = std::chrono::seconds(40);  // past the supervisor's
  static constexpr Duration kPredecessorTimeout =
      std::chrono::seconds(60);  // a drain and a dead origin

  enum class State { kPreparing, kServing, kEnding };
  struct Entry {
    std::string url;
    std::string mount_point;
    State state = State::kPreparing;
    bool detached = false;  // unmounted lazily: its end may be far
    bool adopted = false;   // mounted already while it is being prepared
    Ref<MountInstance> instance;
    std::unique_ptr<sync::Thread> keeper;
    // LeftBehind::line(), once it has ended; held by who waits for that, in place of the instance.
    std::shared_ptr<std::string> left = std::make_shared<std::string>();
  };

  Result<MountInstance::Spec> plan(const Request& request) EXCLUDES(mutex_);
  void wait_for_predecessors(const std::string& url, const std::string& mount_point)
      EXCLUDES(mutex_);
  [[nodiscard]] bool predecessor_ends_locked(const std::string& url,
                                             const std::string& mount_point) const REQUIRES(mutex_);
  Result<void> bring_up(uint64_t id, MountInstance::Spec spec) EXCLUDES(mutex_);
  [[nodiscard]] std::vector<std::pair<uint64_t, Ref<MountInstance>>> find_numbered(
      const std::string& target) const EXCLUDES(mutex_);
  void serve_from_now(uint64_t id, const Ref<MountInstance>& instance) EXCLUDES(mutex_);
  void keep(uint64_t id, const Ref<MountInstance>& instance) EXCLUDES(mutex_);
  void remove(uint64_t id) EXCLUDES(mutex_);
  void use_late_cache() EXCLUDES(mutex_);
  Result<Ref<MountInstance>> prepare_again(const MountInstance::Spec& spec,
                                           const MountInstance::Left& left);
  Result<void> unmount_path(const std::string& mount_point, fuse::UnmountMode mode);
  Result<void> unmount_entry(uint64_t id, const std::string& mount_point, bool lazy)
      EXCLUDES(mutex_);
  bool wait_removed(uint64_t id, Deadline deadline) EXCLUDES(mutex_);
  void detach_busy(const std::string& mount_point, const Ref<MountInstance>& instance);

  SupervisorLink& link_;
  SharedStore& store_;
  const Changed changed_;
  sync::Mutex changing_{kMountChangeLock};  // what is kept last of a mount is how it is
  mutable sync::Mutex mutex_{kMountTableLock};
  sync::CondVar moved_;
  std::map<uint64_t, Entry> entries_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<sync::Thread>> graveyard_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool leaving_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::daemon
