#pragma once
// The heap of our own C++ library: our arena, since the program's malloc may be what is being
// locked, or be its own and just beginning.
//
// Thread-safe.  Blocks are freed by our operator delete (heap.cc).

#include <cstddef>

namespace netfs::lockdep_preload {

[[nodiscard]] void* allocate(size_t bytes);         // null: no memory
[[nodiscard]] void* allocate_or_die(size_t bytes);  // there are no exceptions in here

}  // namespace netfs::lockdep_preload
