#pragma once
// Further rows of bench_names: names that somebody comes back to, and very many of them.

#include "harness/lab.h"

namespace netfs::bench {

// find -ls over 10,000 files 20 ms away: cold, the same again at once, after ten seconds, and by a
// new daemon with the same cache; each by several policies, and beside it the native tree.
Result<void> names_again(Lab& lab);

// A million names (--count) of a near tree: bytes of the cache a name, memory of the daemon, and
// how long a new daemon takes to its first answer.
Result<void> names_many(Lab& lab);

// netfs on a tree of this machine, by its file: origin.
Client file_client(const Lab& lab, const std::string& tree, const std::string& name,
                   const std::vector<std::string>& options);

}  // namespace netfs::bench
