#pragma once
// LatencyHistogram: how long things took, in buckets a quarter of a power of two wide.
//
// Range 1 ns to 2^40 ns (18 minutes); what is longer counts in the last bucket.  A percentile is
// the upper edge of its bucket, so at most 25 % too high.  Thread-safe, no locks.

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "base/clock.h"

namespace netfs::telemetry {

class LatencyHistogram {
 public:
  void record(Duration took) {
    const auto ns = static_cast<uint64_t>(took.count() > 0 ? took.count() : 1);
    buckets_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t count() const {
    uint64_t sum = 0;
    for (const auto& bucket : buckets_) sum += bucket.load(std::memory_order_relaxed);
    return sum;
  }
  // The value below which `share` (0 to 1) of the recorded ones lie; 0 when none are.
  [[nodiscard]] Duration percentile(double share) const {
    const uint64_t total = count();
    if (total == 0) return Duration(0);
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(total - 1)) + 1;
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (seen >= wanted) return Duration(upper_edge(i));
    }
    return Duration(upper_edge(kBuckets - 1));
  }

 private:
  static constexpr size_t kBuckets = 160;  // 40 powers of two, four buckets each

  static size_t bucket_of(uint64_t ns) {
    if (ns < 4) return static_cast<size_t>(ns);
    const auto power = static_cast<size_t>(std::bit_width(ns) - 1);
    const size_t index = power * 4 + ((ns >> (power - 2)) & 3);
    return index < kBuckets ? index : kBuckets - 1;
  }
  static int64_t upper_edge(size_t index) {
    if (index < 4) return static_cast<int64_t>(index);
    const size_t power = index / 4;
    return static_cast<int64_t>((uint64_t{5 + index % 4} << power) / 4);
  }

  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
};

}  // namespace netfs::telemetry
