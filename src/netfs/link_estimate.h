#pragma once
// LinkEstimate: bandwidth and delay of the way to an origin, from its subrequests.
//
// Delay is the shortest latency seen, drifting up slowly so that a changed route is noticed.
// Bandwidth is the highest delivery rate seen, decaying while work is done: for one subrequest, the
// bytes that all of them delivered during its flight over its flight time (the estimator of BBR).
// A window of W bytes shows a rate of W a round trip at most, so a window sized by a multiple of
// the estimate grows by that multiple each round trip until the link is full.
//
// Thread-safe.
//
//   const LinkEstimate::Flight flight = link.begin(now);
//   ... link.end(flight, bytes, later);

#include <cstdint>

#include "base/clock.h"
#include "netfs/lock_classes.h"
#include "sync/mutex.h"

namespace netfs {

class LinkEstimate {
 public:
  struct Flight {
    MonoTime began;
    uint64_t delivered_before_bytes = 0;
  };

  [[nodiscard]] Flight begin(MonoTime now) EXCLUDES(mutex_);
  void end(const Flight& flight, uint64_t bytes, MonoTime now) EXCLUDES(mutex_);

  [[nodiscard]] Duration delay() const EXCLUDES(mutex_);
  [[nodiscard]] uint64_t bytes_per_second() const EXCLUDES(mutex_);
  // What must be under way to keep the link busy: bandwidth times delay and kJitter.  0: unknown.
  [[nodiscard]] uint64_t link_bytes() const EXCLUDES(mutex_);
  // What may be under way where reads take turns (reads_ahead.h): what the way itself holds, an
  // eighth more, and on a short one kShortTime's worth.  0: unknown.  Less than link_bytes(), which
  // asks for more than a long link's own buffers have room for: those lose what is too much.
  [[nodiscard]] uint64_t under_way_bytes() const EXCLUDES(mutex_);
  // Of these, what is on its way in the delay alone.
  [[nodiscard]] uint64_t trip_bytes() const EXCLUDES(mutex_);
  // A subrequest of a sequential read: kPieceTime of the link, a power of two within bounds.
  [[nodiscard]] uint64_t piece_bytes(uint64_t min_bytes, uint64_t max_bytes) const EXCLUDES(mutex_);

  // Scheduling and queueing at both ends; it is what dominates on a fast local link.
  static constexpr Duration kJitter = std::chrono::milliseconds(15);
  static constexpr Duration kShortTime = std::chrono::milliseconds(5);
  static constexpr Duration kPieceTime = std::chrono::milliseconds(20);

 private:
  mutable sync::Mutex mutex_{kLinkEstimateLock};
  uint64_t delivered_bytes_ GUARDED_BY(mutex_) = 0;
  double rate_ GUARDED_BY(mutex_) = 0;      // bytes a second
  double delay_s_ GUARDED_BY(mutex_) = -1;  // < 0: unknown
  MonoTime last_ GUARDED_BY(mutex_);
  // The rate that was the last to be greater by kGrowth than all before it, and when.
  double plateau_ GUARDED_BY(mutex_) = 0;
  MonoTime grew_at_ GUARDED_BY(mutex_);
};

}  // namespace netfs
