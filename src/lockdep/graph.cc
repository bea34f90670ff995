#include "lockdep/graph.h"

namespace netfs::lockdep {

bool Graph::add_node(Arena& arena, uint32_t id) {
  while (nodes_.end() <= id) {
    const uint32_t pushed = nodes_.push(arena);
    if (pushed == 0) return false;
  }
  nodes_[id] = Node{};
  return true;
}

uint32_t Graph::add(Arena& arena, uint32_t from, uint32_t to) {
  uint32_t id = free_edges_;
  if (id != 0) {
    free_edges_ = edges_[id].next_out;
  } else {
    id = edges_.push(arena);
    if (id == 0) return 0;
  }
  if (!by_ends_.set(arena, ends(from, to), id)) {
    edges_[id].next_out = free_edges_;
    free_edges_ = id;
    return 0;
  }
  edges_[id] = Edge{.from = from,
                    .to = to,
                    .next_out = nodes_[from].first_out,
                    .next_in = nodes_[to].first_in,
                    .serial = ++serial_};
  nodes_[from].first_out = id;
  nodes_[to].first_in = id;
  ++nodes_[from].out;
  ++nodes_[to].in;
  return id;
}

void Graph::remove(uint32_t id) {
  const Edge& edge = edges_[id];
  uint32_t* out = &nodes_[edge.from].first_out;
  while (*out != id) out = &edges_[*out].next_out;
  *out = edge.next_out;
  uint32_t* in = &nodes_[edge.to].first_in;
  while (*in != id) in = &edges_[*in].next_in;
  *in = edge.next_in;
  --nodes_[edge.from].out;
  --nodes_[edge.to].in;
  by_ends_.erase(ends(edge.from, edge.to));
  edges_[id] = Edge{.next_out = free_edges_};
  free_edges_ = id;
}

bool Graph::visit(Arena& arena, uint32_t node, unsigned recursive, uint32_t edge, unsigned before) {
  const uint32_t slot = queue_.push(arena);
  if (slot == 0) return false;
  queue_[slot] = static_cast<uint64_t>(node) << 1 | recursive;
  Node& seen = nodes_[node];
  seen.seen[recursive] = generation_;
  seen.via[recursive] = edge;
  seen.via_recursive[recursive] = static_cast<uint8_t>(before);
  return true;
}

bool Graph::keep_path(Arena& arena, uint32_t start, uint32_t node, unsigned recursive) {
  path_.clear();
  while (true) {
    const uint32_t edge = nodes_[node].via[recursive];
    if (edge == 0) return true;
    const uint32_t slot = path_.push(arena);
    if (slot == 0) return false;
    path_[slot] = edge;
    const unsigned before = nodes_[node].via_recursive[recursive];
    node = edges_[edge].from;
    recursive = before;
    if (node == start && nodes_[node].via[recursive] == 0) return true;
  }
}

}  // namespace netfs::lockdep
