#pragma once
// Shaper: one direction of a link: a bit rate shared by all, then a fixed delay.
//
// admit() says when bytes that are there from `since` on come out at the far end: once all that was
// handed in before has been sent at the rate, plus the delay.  Times never go back, so what comes
// out keeps its order. Pure; thread-safety: none.

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace netfs::delay_proxy {

class Shaper {
 public:
  // `bits_per_second` 0: no limit.
  Shaper(uint64_t bits_per_second, Duration delay)
      : bits_per_second_(bits_per_second), delay_(delay) {}

  MonoTime admit(MonoTime since, uint64_t bytes) {
    const MonoTime begins = std::max(since, busy_until_);
    if (bits_per_second_ == 0) {
      busy_until_ = begins;
    } else {
      const auto nanoseconds = static_cast<Wide>(bytes) * 8 * 1'000'000'000 + remainder_;
      remainder_ = static_cast<int64_t>(nanoseconds % bits_per_second_);
      busy_until_ = begins + Duration(static_cast<int64_t>(nanoseconds / bits_per_second_));
    }
    return busy_until_ + delay_;
  }

  // How long the link is busy with what was handed in.
  [[nodiscard]] Duration backlog(MonoTime now) const {
    return std::max(Duration::zero(), Duration(busy_until_ - now));
  }

 private:
  // A megabyte in bits times 1e9 does not fit 63 of them.
  __extension__ using Wide = __int128;

  const uint64_t bits_per_second_;
  const Duration delay_;
  MonoTime busy_until_{};
  int64_t remainder_ = 0;  // of the division, so that small packets do not run too fast
};

}  // namespace netfs::delay_proxy
