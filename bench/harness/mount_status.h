#pragma once
// What a netfs mount says of itself (`netfs status --json`), as far as a benchmark waits for it.
//
// Each wait is bounded and looks a few times a second, outside of any timing.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "harness/content.h"

namespace netfs::bench {

struct StatusOf {
  std::string program;  // netfs
  std::string mount_point;
};

// EPROTO: it answered no JSON.
Result<nlohmann::json> status_of(const StatusOf& mount);

// Until the origin has opened all the connections it wants ("connections: 9 of 9"), or ten seconds:
// an origin without any, or one that gets no more, is not waited for.
Result<void> await_connected(const StatusOf& mount);

// Until every store that was begun has ended and is committed.  ETIMEDOUT after a minute.
Result<void> await_stored(const StatusOf& mount);

// Until the server has all that was written.  ETIMEDOUT after ten minutes.
Result<void> await_uploaded(const StatusOf& mount);

// Reads the files again and again, until all of one round's opens are handed to the kernel.
// ETIMEDOUT after two minutes; its text has the mount's own reasons.
Result<void> await_sealed(const StatusOf& mount, const std::vector<FileSpec>& files);

// A line: what was downloaded since it was mounted, files ahead, names; or why it is not known.
std::string what_it_fetched(const StatusOf& mount);

}  // namespace netfs::bench
