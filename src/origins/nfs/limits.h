#pragma once
// What a server says of itself once, when it is mounted (FSINFO).

#include <cstdint>

#include "base/clock.h"
#include "origins/nfs/call.h"

namespace netfs::origins::nfs {

struct ServerLimits {
  uint32_t read_bytes_max = 0;
  uint32_t write_bytes_max = 0;
  Duration granularity{};  // of its times
};

Result<ServerLimits> ask_limits(Caller& caller, const Handle& root, Deadline deadline);

// Which of READ, MODIFY, EXTEND (ACCESS3_...) the server would allow.
Result<uint32_t> ask_access(Caller& caller, const Handle& file, uint32_t wanted, Deadline deadline);

}  // namespace netfs::origins::nfs
