#pragma once
// allocation_of: by which call of operator new the memory of a lock was made, and how far from its
// beginning the lock lies.
//
// Each block that the program's operator new gives is noted in a table of fixed size, where a later
// block takes the place of an earlier one: what is found may be nothing, or a block that has gone
// since.  Only the guess which locks are one class rests on it.
//
// Thread-safe, without a lock.

#include <cstdint>

namespace netfs::lockdep_preload {

struct Allocation {
  uintptr_t caller = 0;       // where operator new returned to; 0: not known
  uint32_t offset_bytes = 0;  // below kOffsetsMax; 0 beyond that
};

// An array's elements would each be a class of their own: further in, only the block counts.
inline constexpr uint32_t kOffsetsMax = 1024;

[[nodiscard]] Allocation allocation_of(uintptr_t address);

// How large the block is that this thread's operator new gave last; 0: that was another one.
[[nodiscard]] uint64_t last_allocation_bytes(uintptr_t begin);

// For operator new, and for free.
void note_allocation(uintptr_t begin, uint64_t bytes, uintptr_t caller);
void forget_allocation(uintptr_t begin);

}  // namespace netfs::lockdep_preload
