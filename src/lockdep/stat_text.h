#pragma once
// What a validator learnt, as text for people, in the layout of the kernel's /proc/lockdep_stats,
// /proc/lockdep and of who hangs where.  Pure functions but for the symbolizer, thread-safe.

#include <string>
#include <vector>

#include "lockdep/graph_snapshot.h"
#include "lockdep/saved_graph.h"
#include "lockdep/symbolizer.h"
#include "lockdep/validator.h"

namespace netfs::lockdep {

// ` lock-classes:                     12` and so on, a line each.
[[nodiscard]] std::string statistics_text(const Statistics& statistics);
// What a saved graph has of these.
[[nodiscard]] std::string statistics_text(const SavedGraph& graph);

// A line a class by name, with how many classes come after it (FD) and before it (BD) over any
// number of steps, itself included as in the kernel; then the classes that were taken under it.
[[nodiscard]] std::string classes_text(const GraphSnapshot& graph);

// Of Validator::waits(): who waits for what, who has it, and the stacks of both.
[[nodiscard]] std::string waits_text(const std::vector<Report>& waits, Symbolizer& symbolizer);

// The classes and dependencies of a saved graph.
[[nodiscard]] GraphSnapshot snapshot_of(const SavedGraph& graph);

}  // namespace netfs::lockdep
