#pragma once
// SupervisorLink: the worker's end of the talk with its supervisor.
//
// One thread, the worker's main loop, calls receive() whenever socket() is readable; the rest may
// be called from any thread and wait for that loop to bring their answer, boundedly.
//
// Errors of mount() and unmount(): what the supervisor's child said, with its sentence; ETIMEDOUT;
// ECONNRESET when the supervisor is gone.

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/lock_classes.h"
#include "daemon/packet.h"
#include "daemon/supervisor_message.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::daemon {

// A mount that an earlier worker left.
struct Adopted {
  uint64_t id = 0;
  std::string state;
  std::vector<UniqueFd> fds;
  UniqueFd arena;                     // none: that worker had kept nothing of what the kernel knows
  std::map<uint64_t, UniqueFd> kept;  // by keys of the worker's own
};

struct Inheritance {
  uint64_t workers_before = 0;
  std::string settings;
  std::vector<Adopted> mounts;
};

class SupervisorLink {
 public:
  enum class Event { kNone, kStop, kDrain, kGone };

  explicit SupervisorLink(UniqueFd socket) : socket_(std::move(socket)) {}

  // What the supervisor says first; call it once, before all else.
  Result<Inheritance> receive_inheritance(Deadline deadline);
  // Reads one message.
  Event receive() EXCLUDES(mutex_);
  [[nodiscard]] int socket() const { return socket_.get(); }
  // Of its netfs, as it said last.
  [[nodiscard]] std::string supervisor_version() const EXCLUDES(mutex_);

  // A number no mount of this or an earlier worker has.
  uint64_t new_id() { return next_id_.fetch_add(1); }
  // Mounts; the supervisor holds the descriptors under `id` from now on, until release().
  Result<std::vector<UniqueFd>> mount(uint64_t id, const fuse::MountOptions& options,
                                      const std::string& state, Deadline deadline) EXCLUDES(mutex_);
  Result<void> unmount(const std::string& mount_point, fuse::UnmountMode mode, Deadline deadline)
      EXCLUDES(mutex_);
  // `arena`: -1: as it was.
  void keep(uint64_t id, const std::string& state, int arena = -1);
  // Of a held mount: the supervisor holds a copy of it, by a key, until it is dropped or the mount
  // released.  False: it could not be told.
  bool keep_descriptor(uint64_t id, uint64_t key, int fd);
  void drop_descriptor(uint64_t id, uint64_t key);
  void release(uint64_t id);
  // As release(), of one that cannot be served.
  void give_up(uint64_t id);
  // Asks for another program to go on; who waits at `client` is told what came of it.
  void upgrade(const std::string& path, int client);
  // Nobody is accepted from now on; who knocks sees that at once.
  void ending();

 private:
  Result<void> receive_kept(Adopted& adopted, uint64_t packets, Deadline deadline);
  Result<Packet> ask(const WorkerMessage& message, Deadline deadline) EXCLUDES(mutex_);
  bool tell(const WorkerMessage& message, const std::vector<int>& fds = {});

  const UniqueFd socket_;
  std::atomic<uint64_t> next_id_{1};
  mutable sync::Mutex mutex_{kSupervisorLinkLock};
  std::string supervisor_version_ GUARDED_BY(mutex_);
  sync::CondVar answered_;
  std::map<uint64_t, std::optional<Packet>> waiting_ GUARDED_BY(mutex_);
  bool gone_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::daemon
