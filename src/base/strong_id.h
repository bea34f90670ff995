#pragma once
// StrongId<Tag>: an integer that cannot be mistaken for another kind of integer.
//
//   using NodeId = StrongId<struct NodeIdTag>;

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace netfs {

template <class Tag, class Int = uint64_t>
struct StrongId {
  Int value = 0;

  constexpr StrongId() = default;
  explicit constexpr StrongId(Int v) : value(v) {}
  friend constexpr auto operator<=>(const StrongId&, const StrongId&) = default;
};

// Number of a block within its file; the block size is the cache object's.
using BlockIndex = StrongId<struct BlockIndexTag>;

}  // namespace netfs

template <class Tag, class Int>
struct std::hash<netfs::StrongId<Tag, Int>> {
  size_t operator()(const netfs::StrongId<Tag, Int>& id) const noexcept {
    return std::hash<Int>()(id.value);
  }
};
