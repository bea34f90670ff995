#pragma once
// supervisor_message: what worker and supervisor say to each other, one packet a message.  Pure.
//
// The supervisor begins with kHello and one kAdopt (with descriptors) for each mount it holds.
// Then the worker asks, and each kMount and kUnmount gets one kAnswer of the same id, a mount's
// with its descriptors.  `state` is the worker's own text: the supervisor keeps it beside the
// descriptors and gives it back to the next worker without looking into it.
// So it does with the descriptor of the mount's arena (vfs/arena_memory.h), which a kKeep may bring
// and a kAdopt gives back behind all others, and with further descriptors, which a worker has kept
// by keys of its own (vfs/descriptor_keeper.h): behind its kAdopt come so many kKept.
//
// Errors: EPROTO with the field's name.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fuse/mount.h"

namespace netfs::daemon {

// Of all that is said here, and of a mount's state: between programs of two versions it counts.
inline constexpr uint64_t kLinkVersion = 2;

enum class WorkerVerb {
  kMount,           // id, mount, state: mount it and hold it under this id
  kUnmount,         // id, mount.mount_point, mode
  kKeep,            // id, state: the state of a held mount has changed
  kEnding,          // no mount is left and none is taken any more: nobody need knock
  kRelease,         // id: a held mount has ended, close its descriptors
  kGiveUp,          // id: it cannot be served any more; as kRelease, and the exit code says that
  kUpgrade,         // state: a program's path; with the connection of who is told the outcome
  kKeepDescriptor,  // id, key, and a descriptor: it is the next worker's too
  kDropDescriptor,  // id, key: no more
};

struct WorkerMessage {
  WorkerVerb verb = WorkerVerb::kRelease;
  uint64_t id = 0;
  uint64_t key = 0;
  fuse::MountOptions mount;
  fuse::UnmountMode mode = fuse::UnmountMode::kPlain;
  std::string state;
};

enum class SupervisorVerb {
  kHello,
  kAdopt,
  kAnswer,
  kStop,
  kKept,     // id, text: the keys of the descriptors that come with it
  kDrain,    // answer what was read, read no more, and end: another one goes on
  kVersion,  // version: the supervisor is another program from now on
};

struct SupervisorMessage {
  SupervisorVerb verb = SupervisorVerb::kHello;
  uint64_t id = 0;        // hello: how many workers there were before; else of the mount
  uint64_t held = 0;      // hello: how many kAdopt follow; adopt: how many kKept
  int code = 0;           // answer
  bool arena = false;     // adopt: the last descriptor is the arena's
  std::string text;       // hello: the owner's settings; adopt: state; answer: why it failed
  std::string version{};  // hello, version: of the supervisor's netfs
};

std::string encode(const WorkerMessage& message);
std::string encode(const SupervisorMessage& message);
Result<WorkerMessage> decode_worker_message(std::string_view text);
Result<SupervisorMessage> decode_supervisor_message(std::string_view text);
std::string encode_keys(const std::vector<uint64_t>& keys);
Result<std::vector<uint64_t>> decode_keys(std::string_view text);

}  // namespace netfs::daemon
