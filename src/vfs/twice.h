#pragma once
// Twice: a small number in a record of an arena, stored two times by one store: whatever changes a
// bit of it is found out, though the number itself may change at any time.

#include <cstdint>
#include <optional>

namespace netfs::vfs {

struct Twice {
  uint64_t both;  // all zeroes: 0

  void set(uint32_t number) { both = uint64_t{number} << 32 | number; }
  // nullopt: it is damaged.
  [[nodiscard]] std::optional<uint32_t> get() const {
    const auto number = static_cast<uint32_t>(both);
    if (number != both >> 32) return std::nullopt;
    return number;
  }
};

}  // namespace netfs::vfs
