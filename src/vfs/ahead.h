#pragma once
// AheadClaim: one listing that was made before anybody asked for it; AheadBudget: all of those.
//
// A claim holds its share of the budget until somebody asks for the listing (used) or nobody did in
// time or ever will (wasted); the first word counts.  Thread-safe; the budget outlives its claims.
//
//   listing->ahead = make_ref<AheadClaim>(budget, counters, listing->entries.size());
//   ... at OPENDIR:  listing->ahead->settle(AheadClaim::Outcome::kUsed);

#include <atomic>
#include <cstddef>

#include "base/clock.h"
#include "base/ref.h"
#include "vfs/options.h"

namespace netfs::vfs {

struct AheadBudget {
  std::atomic<size_t> listings{0};
  std::atomic<size_t> names{0};
};

class AheadClaim : public RefCounted<AheadClaim> {
 public:
  enum class Outcome : uint8_t { kUsed, kWasted };

  AheadClaim(AheadBudget& budget, Counters& counters, size_t names)
      : budget_(budget), counters_(counters), names_(names) {
    budget_.listings.fetch_add(1, std::memory_order_relaxed);
    budget_.names.fetch_add(names_, std::memory_order_relaxed);
  }

  void settle(Outcome outcome) {
    if (settled_.exchange(true)) return;
    budget_.listings.fetch_sub(1, std::memory_order_relaxed);
    budget_.names.fetch_sub(names_, std::memory_order_relaxed);
    (outcome == Outcome::kUsed ? counters_.ahead_used : counters_.ahead_wasted).add();
  }
  [[nodiscard]] bool settled() const { return settled_; }

 private:
  AheadBudget& budget_;
  Counters& counters_;
  const size_t names_;
  std::atomic<bool> settled_{false};
};

}  // namespace netfs::vfs
