#pragma once
// What a server says of itself once, when it is mounted (FSINFO; by version 4 mounting4.h).

#include <cstdint>

#include "base/clock.h"
#include "origins/nfs/call.h"

namespace netfs::origins::nfs {

struct ServerLimits {
  uint32_t read_bytes_max = 0;
  uint32_t write_bytes_max = 0;
  Duration granularity{};  // of its times
};

// Of what a server says, within reason; `unit` is that of its times.
ServerLimits limits_of(uint64_t read_bytes, uint64_t write_bytes, Duration unit);

Result<ServerLimits> ask_limits(Caller& caller, const Handle& root, Deadline deadline);

// Which of READ, MODIFY, EXTEND (ACCESS3_...) the server would allow.
Result<uint32_t> ask_access(Caller& caller, const Handle& file, uint32_t wanted, Deadline deadline);

}  // namespace netfs::origins::nfs
