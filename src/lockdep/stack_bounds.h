#pragma once
// StackBounds: the addresses that a walk along frame pointers may read.
//
// Async-signal-safe, allocates nothing; may change errno.  Bounds are half-open, and hold as long
// as the thread runs on that stack.

#include <cstddef>
#include <cstdint>

namespace netfs::lockdep {

struct StackBounds {
  uintptr_t low = 0;
  uintptr_t high = 0;      // nothing: low == high
  bool alternate = false;  // a signal's stack; frames may lead from it to the thread's own

  [[nodiscard]] bool hold(uintptr_t address, size_t bytes) const {
    return address >= low && address < high && high - address >= bytes;
  }
};

// Of the stack on which `address`, a frame of the calling thread, lies.  Nothing where that cannot
// be known.
[[nodiscard]] StackBounds stack_bounds(uintptr_t address) noexcept;

// Of the calling thread's own stack, as far as an earlier call came to know it; else nothing.
[[nodiscard]] StackBounds own_stack_bounds() noexcept;

}  // namespace netfs::lockdep
