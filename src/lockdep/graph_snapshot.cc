#include "lockdep/graph_snapshot.h"

#include <unordered_map>

#include "lockdep/validator.h"

namespace netfs::lockdep {

static_assert(GraphEdge::kSR == EdgeKinds::kSR && GraphEdge::kER == EdgeKinds::kER &&
              GraphEdge::kSN == EdgeKinds::kSN && GraphEdge::kEN == EdgeKinds::kEN);

GraphSnapshot take_snapshot(Validator& validator) {
  // Edges first: the classes of each are then among those that follow.
  const std::vector<EdgeInfo> edges = validator.edges();
  GraphSnapshot graph;
  std::unordered_map<uint32_t, uint32_t> index_of;
  for (const ClassInfo& one : validator.classes()) {
    index_of[one.id] = static_cast<uint32_t>(graph.classes.size());
    graph.classes.push_back({.identity = {.name = one.name,
                                          .version = one.version,
                                          .subclass = one.subclass,
                                          .usage = one.usage,
                                          .wait_outer = one.wait_outer,
                                          .wait_inner = one.wait_inner}});
  }
  for (const EdgeInfo& edge : edges) {
    const auto from = index_of.find(edge.from);
    const auto to = index_of.find(edge.to);
    if (from == index_of.end() || to == index_of.end()) continue;  // forgotten meanwhile
    graph.edges.push_back(
        {.from = from->second, .to = to->second, .kinds = edge.kinds, .declared = !edge.observed});
  }
  return graph;
}

}  // namespace netfs::lockdep
