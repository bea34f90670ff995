#pragma once
// graph_dot: a dependency graph in the language of graphviz, a circle in it standing out.
//
// Pure, thread-safe.  The same graph gives the same text: classes by name, edges by the names of
// their ends, whatever their order in the snapshot.  A class is a box with its name, usage and wait
// types; an edge has its kinds (EN, SR ..) and how often it was seen.  Declared edges are dotted.
// The circle's edges are red and bold, and in it the new one is dashed and says `new`.
//
//   std::ofstream("graph.dot") << graph_dot(graph, circle);   // dot -Tsvg graph.dot > graph.svg

#include <cstdint>
#include <string>
#include <vector>

#include "lockdep/graph_snapshot.h"

namespace netfs::lockdep {

// Indices of classes along a circle, each once; the last leads back to the first.  The edge between
// the first two is the new one, as in Report::chain.  Empty: nothing stands out.
using GraphCircle = std::vector<uint32_t>;

[[nodiscard]] std::string graph_dot(const GraphSnapshot& graph, const GraphCircle& circle);

// The circle of a report and no more: its classes and dependencies.
[[nodiscard]] std::string report_dot(const Report& report);

}  // namespace netfs::lockdep
