#pragma once
// LockTimes: how long was waited for the locks of a class, and how long they were held.
//
// Buckets as of an HDR histogram: eight in each power of two, so that a percentile is too high by
// an eighth at most.  Adding is one relaxed atomic addition.  All is constant-initialised, and
// valid as zero bytes; nothing allocates but times_text.  Thread-safe.
//
//   const uint64_t began = times_now_ns();
//   ... wait ...
//   times.waited.add(times_now_ns() - began);

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace netfs::lockdep_preload {

class Histogram {
 public:
  void add(uint64_t ns) {
    buckets_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(ns, std::memory_order_relaxed);
    uint64_t most = most_.load(std::memory_order_relaxed);
    while (ns > most && !most_.compare_exchange_weak(most, ns, std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] uint64_t count() const;
  [[nodiscard]] uint64_t sum_ns() const { return sum_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t most_ns() const { return most_.load(std::memory_order_relaxed); }
  // The end of the bucket in which the share `part` (0..1) of all times is reached, but no more
  // than the largest time; 0 when there is none.
  [[nodiscard]] uint64_t percentile_ns(double part) const;

  // Which bucket a time belongs to, and the largest time of a bucket.
  static size_t bucket_of(uint64_t ns);
  static uint64_t end_of(size_t bucket);

 private:
  static constexpr unsigned kStepBits = 3;
  static constexpr uint64_t kSteps = uint64_t{1} << kStepBits;
  static constexpr unsigned kOctaves = 40;  // to 73 minutes; what is longer is in the last bucket
  static constexpr size_t kBuckets = kSteps * kOctaves;

  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<uint64_t> sum_{0};
  std::atomic<uint64_t> most_{0};
};

struct LockTimes {
  Histogram waited;  // of those acquisitions that had to wait
  Histogram held;
};

[[nodiscard]] uint64_t times_now_ns();

struct NamedTimes {
  std::string name;  // of the class
  const LockTimes* times = nullptr;
};

// A table, most waiting first: `class  waits  total  p50  p99  max | holds ...`.
[[nodiscard]] std::string times_text(std::vector<NamedTimes> classes);

}  // namespace netfs::lockdep_preload
