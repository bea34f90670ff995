#pragma once
// ByteRange: a half-open range [offset, offset+length) of a file, in bytes.

#include <algorithm>
#include <cstdint>

namespace netfs {

struct ByteRange {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;

  [[nodiscard]] constexpr uint64_t end_bytes() const { return offset_bytes + length_bytes; }
  [[nodiscard]] constexpr bool empty() const { return length_bytes == 0; }
  [[nodiscard]] constexpr bool contains(ByteRange inner) const {
    return inner.offset_bytes >= offset_bytes && inner.end_bytes() <= end_bytes();
  }
  [[nodiscard]] constexpr ByteRange intersect(ByteRange other) const {
    const uint64_t begin = std::max(offset_bytes, other.offset_bytes);
    const uint64_t end = std::min(end_bytes(), other.end_bytes());
    return end > begin ? ByteRange{begin, end - begin} : ByteRange{begin, 0};
  }
  friend constexpr bool operator==(const ByteRange&, const ByteRange&) = default;
};

constexpr uint64_t round_down(uint64_t value, uint64_t unit) {
  return value - value % unit;
}
constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return round_down(value + unit - 1, unit);
}

}  // namespace netfs
