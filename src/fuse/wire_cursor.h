#pragma once
// Cursor: takes the body of a message apart from its front; and the decoder of the write family,
// which stands in a file of its own.  Pure.  For wire.cc and wire_changes.cc only.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "fuse/protocol_changes.h"
#include "fuse/wire.h"

namespace netfs::fuse {

// Takes a body apart from its front; a failed take leaves it unusable, and the caller gives up.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> rest) : rest_(rest) {}

  // Fills `out`, of which an older kernel sends only the first `least` bytes; zeroes the others.
  template <class T>
  [[nodiscard]] bool take(T& out, size_t least = sizeof(T)) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < least) return false;
    out = T{};
    const size_t size = std::min(sizeof(T), rest_.size());
    std::memcpy(&out, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return true;
  }

  // A text up to its NUL, 1 to `bytes_max` bytes.
  [[nodiscard]] bool take_text(std::string_view& out, size_t bytes_max = kNameMax) {
    const size_t limit = std::min(rest_.size(), bytes_max + 1);
    if (limit == 0) return false;
    const void* nul = std::memchr(rest_.data(), 0, limit);
    if (nul == nullptr) return false;
    const auto length = static_cast<size_t>(static_cast<const std::byte*>(nul) - rest_.data());
    if (length == 0) return false;
    out = {reinterpret_cast<const char*>(rest_.data()), length};
    rest_ = rest_.subspan(length + 1);
    return true;
  }

  // A text that is one component of a path.
  [[nodiscard]] bool take_name(std::string_view& out) {
    return take_text(out) && out.find('/') == std::string_view::npos;
  }

  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }

 private:
  std::span<const std::byte> rest_;
};

// Nothing: the bytes are no such body.
using Decoded = std::optional<Body>;

// MKNOD, MKDIR, CREATE, WRITE and their like.
Decoded decode_change(Opcode opcode, Cursor in);

}  // namespace netfs::fuse
