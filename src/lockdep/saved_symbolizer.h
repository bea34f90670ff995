#pragma once
// SavedSymbolizer: names for places of a saved graph, which other processes had, by build-id.
//
// The file at the saved path is asked, if it still has that build-id; its debug file may be below
// /usr/lib/debug/.build-id.  Code of a file that is gone or another keeps its module and offset.
// All other addresses go to `live`.  Not thread-safe; see symbolizer.h for what a caller owes.

#include <vector>

#include "lockdep/dwarf_symbolizer.h"
#include "lockdep/saved_graph.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep {

class SavedSymbolizer final : public Symbolizer {
 public:
  // Both must outlive it.
  SavedSymbolizer(const SavedGraph& graph, Symbolizer& live) : graph_(graph), live_(live) {}

  [[nodiscard]] std::vector<Frame> resolve(uintptr_t return_address) override;

 private:
  const SavedGraph& graph_;
  Symbolizer& live_;
  FileSymbolizer files_;
};

}  // namespace netfs::lockdep
