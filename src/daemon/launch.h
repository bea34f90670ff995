#pragma once
// launch: how a command finds the daemon of a cache directory, and starts it when there is none.
//
// One daemon owns a cache directory; whoever holds its lock file is, or starts, its supervisor.  A
// command that finds the lock taken and nobody listening waits: somebody is just starting, or
// ending.
//
// Errors carry a sentence: EPROTONOSUPPORT when another version of netfs is there; ETIMEDOUT when
// it never answered; what runtime_dir.h says.

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/control_message.h"
#include "daemon/descriptor_store.h"
#include "daemon/runtime_dir.h"

namespace netfs::daemon {

// A connection to a daemon of our version, its Hello read.
struct Connection {
  UniqueFd socket;
  Hello hello;
};

// ENOENT, ECONNREFUSED: nobody is there.  ECONNRESET: it is ending.
enum class Version { kOurs, kAny };
Result<Connection> connect_owner(const OwnerPaths& paths, Deadline deadline,
                                 Version which = Version::kOurs);

// Sends a request and waits for its response.
Result<Response> ask(const Connection& connection, const Request& request, Deadline deadline);

struct LaunchPlan {
  OwnerPaths paths;
  OptionMap options;        // of the first mount
  bool foreground = false;  // the supervisor is this process
  // In front: mounts that a supervisor of this service has left, to be served on.
  std::optional<Stored> stored{};
};

// Connects, and starts the daemon if need be.  In front, and when this call starts the daemon, it
// returns twice: in a child, connected, and never in the parent, which is the supervisor from then
// on and ends the process with its exit code.  For a process of one thread.
struct Reached {
  Connection connection;
  bool started_in_front = false;  // the supervisor is our parent: it stays when we end
  bool goes_on = false;           // with what was stored
};
Result<Reached> reach_owner(LaunchPlan plan, Deadline deadline);

}  // namespace netfs::daemon
