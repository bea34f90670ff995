#pragma once
// SimulatedLinkLocks: the locks of an origin behind a simulated link: each call takes a round trip.
//
// Thread-safe; part of its link.

#include <memory>
#include <utility>

#include "netfs/origin_locks.h"
#include "netfs/simulated_link.h"

namespace netfs {

class SimulatedLinkLocks final : public OriginLocks {
 public:
  SimulatedLinkLocks(SimulatedLink& link, OriginLocks& inner) : link_(link), inner_(inner) {}

  Result<Opened> open(const FileAt& file, LockKind kind, Deadline deadline) override;
  Result<Opened> take_over(UniqueFd descriptor, LockKind kind) override {
    return inner_.take_over(std::move(descriptor), kind);
  }
  Result<void> set(OriginLock& lock, LockMode mode, const LockSpan& span,
                   Deadline deadline) override;
  Result<std::optional<LockedRange>> find(OriginLock& lock, LockMode mode, const LockSpan& span,
                                          Deadline deadline) override;

 private:
  SimulatedLink& link_;
  OriginLocks& inner_;
};

}  // namespace netfs
