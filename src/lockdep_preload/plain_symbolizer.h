#pragma once
// PlainSymbolizer: names from the dynamic symbols that are in memory already: function and module,
// no lines.
//
// For reports that are made in the midst of a malloc: it neither allocates from the program's heap,
// nor locks, nor reads files.  A malloc of the program's own may lock, and a signal handler may
// have interrupted that of the C library.

#include "lockdep/symbolizer.h"

namespace netfs::lockdep_preload {

// Whether the program's malloc is another than the C library's.  Found out once.
[[nodiscard]] bool foreign_malloc();
// At our beginning: finds the functions that allocate.
void find_allocators();
// Whether the calling thread is in one of them, to be seen on its stack.
[[nodiscard]] bool in_allocator();

class PlainSymbolizer final : public lockdep::Symbolizer {
 public:
  [[nodiscard]] std::vector<lockdep::Frame> resolve(uintptr_t return_address) override;
};

}  // namespace netfs::lockdep_preload
