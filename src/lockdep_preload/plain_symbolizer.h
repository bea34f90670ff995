#pragma once
// PlainSymbolizer: names from the dynamic symbols that are in memory already: function and module,
// no lines.
//
// For programs with a malloc of their own, in the midst of which a report may be made: it neither
// allocates from the program's heap, nor locks, nor reads files.

#include "lockdep/symbolizer.h"

namespace netfs::lockdep_preload {

// Whether the program's malloc is another than the C library's.  Found out once.
[[nodiscard]] bool foreign_malloc();

class PlainSymbolizer final : public lockdep::Symbolizer {
 public:
  [[nodiscard]] std::vector<lockdep::Frame> resolve(uintptr_t return_address) override;
};

}  // namespace netfs::lockdep_preload
