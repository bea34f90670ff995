#pragma once
// StackDepot: stacks kept once each, by number.  Never forgotten before reset.
//
// intern() under the validator's lock; a stack whose number is known may be read by anybody.

#include <cstddef>
#include <cstdint>

#include "lockdep/chunked_array.h"
#include "lockdep/key_map.h"

namespace netfs::lockdep {

struct KeptStack {
  uint32_t count;
  uintptr_t frames[];  // innermost first
};

class StackDepot {
 public:
  static constexpr size_t kFramesMax = 48;

  // 0 when there is no memory.
  uint32_t intern(Arena& arena, const uintptr_t* frames, size_t count);
  // Null for 0.
  [[nodiscard]] const KeptStack* get(uint32_t id) const { return id == 0 ? nullptr : stacks_[id]; }
  [[nodiscard]] size_t count() const { return stacks_.count(); }

 private:
  KeyMap by_hash_;
  ChunkedArray<const KeptStack*> stacks_;
};

}  // namespace netfs::lockdep
