#pragma once
// UploadWindow: how many bytes may be on their way to an origin at one time, for writes that nobody
// waits for.
//
// It begins small, grows with what arrives as far as kMax (the delay times the bandwidth of a long
// and fast link), and halves when a piece took a good part of the time after which it would be
// given up: what a slow link cannot take in time is not sent yet.  A file that has nothing on its
// way may always send one write.
//
// Thread-safe.

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace netfs {

class UploadWindow {
 public:
  static constexpr uint64_t kMin = 1 << 20;
  static constexpr uint64_t kMax = 16 << 20;

  // Takes room for one more write; false: it waits until another has arrived.
  bool enter(uint64_t bytes) {
    uint64_t used = in_flight_.load();
    do {
      if (used + bytes > limit_.load()) return false;
    } while (!in_flight_.compare_exchange_weak(used, used + bytes));
    return true;
  }
  void enter_anyway(uint64_t bytes) { in_flight_.fetch_add(bytes); }

  // It has ended, after `took`, where `timeout` would have been too long.
  void leave(uint64_t bytes, bool arrived, Duration took, Duration timeout) {
    in_flight_.fetch_sub(bytes);
    const uint64_t limit = limit_.load();
    if (!arrived) bytes = 0;
    // Two at a time may change it by one step less than both would: it is a guess anyway.
    limit_.store(took > timeout / kSlowPart ? std::max(limit / 2, kMin)
                                            : std::min(limit + bytes, kMax));
  }

  [[nodiscard]] uint64_t limit_bytes() const { return limit_.load(); }
  [[nodiscard]] uint64_t in_flight_bytes() const { return in_flight_.load(); }

 private:
  static constexpr int kSlowPart = 8;

  std::atomic<uint64_t> limit_{kMin};
  std::atomic<uint64_t> in_flight_{0};
};

}  // namespace netfs
