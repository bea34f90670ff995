#pragma once
// FileLocks: the locks of a local folder: flock(2), and fcntl(2)'s of an open file description.
//
// Each holder has a description of its own, so two of them exclude each other, and everybody else
// who has locked the file, in this process and out of it.  A description lives as long as anybody
// has a descriptor of it: with it its locks outlive this process.  The kernel finds no deadlock
// among locks of descriptions.
//
// Thread-safe; the root outlives it.

#include "netfs/origin_locks.h"

namespace netfs::origins {

class FileLocks final : public OriginLocks {
 public:
  explicit FileLocks(int root) : root_(root) {}

  Result<Opened> open(const FileAt& file, LockKind kind, Deadline deadline) override;
  Result<Opened> take_over(UniqueFd descriptor, LockKind kind) override;
  Result<void> set(OriginLock& lock, LockMode mode, const LockSpan& span,
                   Deadline deadline) override;
  Result<std::optional<LockedRange>> find(OriginLock& lock, LockMode mode, const LockSpan& span,
                                          Deadline deadline) override;

 private:
  const int root_;
};

}  // namespace netfs::origins
