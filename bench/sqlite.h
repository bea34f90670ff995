#pragma once
// What SQLite does to a disk: a sync or more for each transaction.

#include <string>

#include "base/result.h"
#include "harness/jobs.h"

namespace netfs::bench {

// A new database; each insert is a transaction, durable when it is done; units: transactions.
Result<Work> transactions(const std::string& path, const std::string& mode, uint64_t count);

}  // namespace netfs::bench
