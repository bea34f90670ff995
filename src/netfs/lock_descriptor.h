#pragma once
// lock_descriptor: the locks of an open file description, by a descriptor of it: flock(2)'s, and
// fcntl(2)'s of a description.  Whoever has a copy of the descriptor holds them on, sets and gives
// them back, whichever process and whichever object of the origin had asked for them.
//
// No call waits for somebody else's lock.  Errors as those of OriginLocks.

#include <optional>

#include "base/result.h"
#include "netfs/lock_ranges.h"

namespace netfs {

Result<void> set_lock_by_descriptor(int fd, LockKind kind, LockMode mode, const LockSpan& span);
// For kind kRange.
Result<std::optional<LockedRange>> find_lock_by_descriptor(int fd, LockMode mode,
                                                           const LockSpan& span);

}  // namespace netfs
