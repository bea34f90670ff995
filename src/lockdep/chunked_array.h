#pragma once
// ChunkedArray: an array in an Arena that grows without moving; chunk k holds 64 << k elements.
//
// T is valid as zero bytes and trivially destroyed.  Thread-safety: push() under one lock; an
// element may be read by whoever learnt its index under that lock.  Element 0 exists but is never
// given out, so that 0 can mean "none".

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "lockdep/arena.h"

namespace netfs::lockdep {

template <typename T>
class ChunkedArray {
 public:
  static_assert(std::is_trivially_destructible_v<T>);

  [[nodiscard]] T& operator[](size_t index) const {
    const size_t at = index + kFirst;
    const auto chunk = static_cast<unsigned>(std::bit_width(at)) - kFirstBits - 1;
    return chunks_[chunk][at - (kFirst << chunk)];
  }
  // The index of a new element, zeroed; 0 when there is no memory.
  [[nodiscard]] uint32_t push(Arena& arena) {
    const size_t at = size_ + kFirst;
    const auto chunk = static_cast<unsigned>(std::bit_width(at)) - kFirstBits - 1;
    if (chunk >= kChunks) return 0;
    if (chunks_[chunk] == nullptr) {
      chunks_[chunk] = static_cast<T*>(arena.allocate(sizeof(T) * (kFirst << chunk)));
      if (chunks_[chunk] == nullptr) return 0;
    }
    return static_cast<uint32_t>(size_++);
  }
  // One past the last index.
  [[nodiscard]] size_t end() const { return size_; }
  [[nodiscard]] size_t count() const { return size_ - 1; }
  void pop() { --size_; }
  // Keeps the memory; what is pushed again is not zeroed.
  void clear() { size_ = 1; }

 private:
  static constexpr unsigned kFirstBits = 6;
  static constexpr size_t kFirst = size_t{1} << kFirstBits;
  static constexpr unsigned kChunks = 26;  // 2^32 elements

  T* chunks_[kChunks] = {};
  size_t size_ = 1;
};

}  // namespace netfs::lockdep
