#pragma once
// Counters: relaxed atomics that only grow, and the triplet issued/done/failed in which netfs
// counts every kind of work.  Thread-safe; a reader sees each value, not a consistent set of them.

#include <atomic>
#include <cstdint>

namespace netfs::telemetry {

class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct Triplet {
  Counter issued;
  Counter done;
  Counter failed;
};

}  // namespace netfs::telemetry
