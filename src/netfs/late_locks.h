#pragma once
// LateLocks: the locks of a LateOrigin.  What a process before this one held by a descriptor is
// held on, set and given back by that descriptor, whether the origin is there or not; what is to be
// locked anew waits for it, as all calls do.  ENOLCK: the origin that has come has no locks.
//
// Thread-safe; of one holder one call at a time.  Part of its origin.

#include <memory>
#include <optional>

#include "netfs/late_origin.h"
#include "netfs/origin_locks.h"

namespace netfs {

class LateLocks final : public OriginLocks {
 public:
  explicit LateLocks(LateOrigin& origin) : origin_(origin) {}

  Result<Opened> open(const FileAt& file, LockKind kind, Deadline deadline) override;
  Result<Opened> take_over(UniqueFd descriptor, LockKind kind) override;
  Result<void> set(OriginLock& lock, LockMode mode, const LockSpan& span,
                   Deadline deadline) override;
  Result<std::optional<LockedRange>> find(OriginLock& lock, LockMode mode, const LockSpan& span,
                                          Deadline deadline) override;

 private:
  LateOrigin& origin_;
};

}  // namespace netfs
