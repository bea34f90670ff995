#pragma once
// supervisor_state: what a supervisor leaves to the program it becomes: the same process goes on as
// another netfs, with its worker, its descriptors and what it was told of each mount.
//
// Text, JSON, in a file without a name, with the numbers of descriptors that outlive the exec.
// decode() takes possession of those.  Errors: EPROTO with the field's name; EBADF: a descriptor
// that it names is not open.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/held_descriptors.h"

namespace netfs::daemon {

inline constexpr uint64_t kSupervisorStateVersion = 2;

// A mounted connection, kept open through the deaths of workers.
struct HeldMount {
  std::string mount_point;
  std::string state;
  std::vector<UniqueFd> fds;
  UniqueFd arena;           // what the kernel knows of its worker
  bool kept = false;        // its worker has said that it serves
  uint64_t served_by = 0;   // which worker has said so last: the first one is 1
  unsigned connection = 0;  // its number (fuse/connection.h); 0: not known
  HeldDescriptors descriptors;

  // One that is the same file stays by its number, by which it is known elsewhere.
  void take_arena(UniqueFd fd);
};

// What is the supervisor's by its place, and goes with it.
struct Belongings {
  UniqueFd lock;
  std::string lock_path;
  std::string socket_path;
  std::string log_path;  // of a log that nobody asked for: kept only where something went wrong
};

// By what name the service manager keeps a descriptor (descriptor_store.h).
struct StoredName {
  uint64_t mount = 0;  // 0: of none
  int fd = -1;         // here; -1: it is not open here
};
using StoredNames = std::map<std::string, StoredName>;

struct SupervisorState {
  UniqueFd listener;
  std::string settings;
  std::string worker_version;
  Belongings belongings;
  pid_t client = -1;
  pid_t worker = -1;
  UniqueFd worker_socket;
  uint64_t workers_started = 0;
  int exit_code = 0;
  std::map<uint64_t, HeldMount> held;
  StoredNames stored;
};

std::string encode(const SupervisorState& state);
Result<SupervisorState> decode_supervisor_state(std::string_view text);

// What the service manager keeps of a supervisor (descriptor_store.h): its mounts, as far as they
// are served, their descriptors by name.
struct StoredMounts {
  std::string settings;
  uint64_t workers_started = 0;
  std::map<uint64_t, HeldMount> held;
  std::vector<std::string> lost;  // mount points of which a descriptor was not there
};
struct MountsToStore {
  const std::string& settings;
  uint64_t workers_started;
  const std::map<uint64_t, HeldMount>& held;
};
std::string encode_stored(const MountsToStore& mounts,
                          const std::function<std::string(uint64_t mount, int fd)>& name_of);
// `take` has what has this name, or nothing.
Result<StoredMounts> decode_stored(
    std::string_view text,
    const std::function<UniqueFd(uint64_t mount, const std::string& name)>& take);

// All descriptors of it, for those who set and clear what an exec does with them.
std::vector<int> descriptors(const SupervisorState& state);

}  // namespace netfs::daemon
