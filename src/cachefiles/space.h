#pragma once
// Space: the hard limit, in bytes that data files take on the disk.
//
// Reserved before it is written; what the disk really took is set later.  The index is counted by
// whoever asks (its size is passed in), so that it has no second book-keeping.  Thread-safe.

#include <atomic>
#include <cstdint>

namespace netfs::cachefiles {

class Space {
 public:
  explicit Space(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // False when it would go over the limit.
  [[nodiscard]] bool reserve(uint64_t bytes, uint64_t index_bytes) {
    uint64_t used = used_bytes_.load(std::memory_order_relaxed);
    do {
      if (used + index_bytes + bytes > limit_bytes_) return false;
    } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  // What is there already, or turned out to be needed: may pass the limit, maintain() culls then.
  void add(uint64_t bytes) { used_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  void release(uint64_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  void change(uint64_t from_bytes, uint64_t to_bytes) {
    used_bytes_.fetch_add(to_bytes - from_bytes, std::memory_order_relaxed);
  }

  [[nodiscard]] uint64_t limit_bytes() const { return limit_bytes_; }
  [[nodiscard]] uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

 private:
  const uint64_t limit_bytes_;
  std::atomic<uint64_t> used_bytes_{0};
};

}  // namespace netfs::cachefiles
