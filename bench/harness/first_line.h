#pragma once
// first_line(): what a helper program says of itself once it is ready.

#include <string>

#include "base/result.h"
#include "harness/process.h"

namespace netfs::bench {

// Waits for the first whole line in `log`, which `process` writes to.  EIO: it ended without one;
// ETIMEDOUT: ten seconds.
Result<std::string> first_line(Process& process, const std::string& program,
                               const std::string& log);

}  // namespace netfs::bench
