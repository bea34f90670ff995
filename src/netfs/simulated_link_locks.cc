#include "netfs/simulated_link_locks.h"

namespace netfs {

Result<OriginLocks::Opened> SimulatedLinkLocks::open(const FileAt& file, LockKind kind,
                                                     Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.open(file, kind, deadline);
}

Result<void> SimulatedLinkLocks::set(OriginLock& lock, LockMode mode, const LockSpan& span,
                                     Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.set(lock, mode, span, deadline);
}

Result<std::optional<LockedRange>> SimulatedLinkLocks::find(OriginLock& lock, LockMode mode,
                                                            const LockSpan& span,
                                                            Deadline deadline) {
  TRY(link_.travel(deadline));
  return inner_.find(lock, mode, span, deadline);
}

}  // namespace netfs
