#pragma once
// merge: puts saved graphs together and says which circles they form.

#include <string>
#include <vector>

#include "base/result.h"

namespace netfs::lockdep_tool {

struct Merging {
  std::vector<std::string> files;
  std::string output;        // the graph of all; empty: none
  std::string suppressions;  // file; empty: none
  bool json = false;
  bool order_only = false;  // circles too that are known to be impossible
  bool quiet = false;       // no reports
};

// Reports go to stdout, figures to stderr.  How many circles are LIKELY.
[[nodiscard]] Result<size_t> merge(const Merging& merging);

}  // namespace netfs::lockdep_tool
