#pragma once
// ArenaForm: which form of a mount's arena a netfs writes, and which it can go on with.  Pure.
//
// `layout` is the form of all records that a successor has to understand: it goes on with an arena
// of its own layout only.  An addition is what it may do without: a kind of chunk that was not
// there before.  Who does not know it leaves such chunks alone, and says so in the header; who
// knows it, and comes after one who did not, finds them empty, for what stood in them is old.  So
// two netfs that differ in additions only can go on with what the other one leaves, both ways.

#include <cstddef>
#include <cstdint>
#include <span>

namespace netfs::vfs {

struct ArenaForm {
  static constexpr size_t kAdditionsMax = 15;  // of one layout

  // `added`: the kind that each addition brought, the oldest first; outlives this.
  constexpr ArenaForm(uint32_t its_layout, std::span<const uint8_t> kinds_added = {})
      : layout(its_layout), added(kinds_added) {}
  [[nodiscard]] constexpr uint32_t additions() const { return static_cast<uint32_t>(added.size()); }

  uint32_t layout;
  std::span<const uint8_t> added;
};

// Of this netfs.
extern const ArenaForm kArenaForm;

}  // namespace netfs::vfs
