#pragma once
// Forgetting: what the kernel holds in memory is dropped, so that a read reaches the disk.
//
// The global drops need root (EACCES, EPERM without) and touch the whole machine; both sides of a
// comparison take the same one.  Dirty pages are written first, else they would stay.

#include <string>

#include "base/result.h"

namespace netfs::bench {

enum class Forget {
  kPages,          // echo 1: page cache
  kNames,          // echo 2: dentries and inodes
  kPagesAndNames,  // echo 3
};

Result<void> forget(Forget what);

// The page cache of one file.
Result<void> forget_file(const std::string& path);

// Reads a file once, so that it is in the page cache.
Result<void> warm_file(const std::string& path);

}  // namespace netfs::bench
