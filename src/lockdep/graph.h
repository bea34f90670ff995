#pragma once
// Graph: which classes were taken while which were held, and the search for strong paths.
//
// A node is a class, an edge A -> B says "B was taken while A was held", in up to four strengths
// (EdgeKinds): from a writer (E) or a reader (S) of A, to a recursive reader (R) or another taker
// (N) of B.  A recursive reader does not wait for a reader; so a path can be part of a deadlock, is
// "strong", only if no edge to a recursive reader is followed by one from a reader.
//
// The search goes over states (node, came as a recursive reader only), not over nodes: a node that
// was first met as a recursive reader is looked at again when it is met otherwise.  The kernel
// marks nodes, and so loses strong paths.
//
// Under the validator's lock.  Memory is the arena's.

#include <cstddef>
#include <cstdint>

#include "lockdep/chunked_array.h"
#include "lockdep/key_map.h"
#include "lockdep/validator.h"

namespace netfs::lockdep {

struct Witness;  // witness.h

// The strength of a dependency from a lock held in `held` to one taken in `taken`.
constexpr uint8_t edge_kind(Mode held, Mode taken) {
  if (taken == Mode::kRecursiveRead) return held == Mode::kWrite ? kER : kSR;
  return held == Mode::kWrite ? kEN : kSN;
}
// Adds no strong path to an edge that has `kinds` already.
constexpr bool implied(uint8_t kinds, uint8_t kind) {
  if ((kinds & (kind | kEN)) != 0) return true;
  return kind == kSR && (kinds & (kER | kSN)) != 0;
}

struct Edge {
  static constexpr unsigned kRing = 4;

  uint32_t from;
  uint32_t to;
  uint32_t next_out;  // of the same `from`
  uint32_t next_in;   // of the same `to`
  uint32_t serial;    // never given twice
  uint8_t kinds;
  uint8_t seeded;  // of `kinds`, those that only other runs did so far
  bool declared;
  bool in_circle;  // of a reported circle
  uint8_t witnesses;
  uint32_t open_circles;  // ORDER-ONLY ones that go through here
  Witness* ring[kRing];   // oldest first
};

class Graph {
 public:
  // Room for the node `id`; false when there is no memory.
  bool add_node(Arena& arena, uint32_t id);
  // 0 when there is none.
  [[nodiscard]] uint32_t find(uint32_t from, uint32_t to) const {
    return by_ends_.find(ends(from, to));
  }
  // A new edge without kinds; 0 when there is no memory.
  uint32_t add(Arena& arena, uint32_t from, uint32_t to);
  void remove(uint32_t edge);

  [[nodiscard]] Edge& edge(uint32_t id) const { return edges_[id]; }
  [[nodiscard]] uint32_t first_out(uint32_t node) const { return nodes_[node].first_out; }
  [[nodiscard]] uint32_t first_in(uint32_t node) const { return nodes_[node].first_in; }
  [[nodiscard]] uint32_t out_count(uint32_t node) const { return nodes_[node].out; }
  [[nodiscard]] uint32_t in_count(uint32_t node) const { return nodes_[node].in; }
  [[nodiscard]] size_t edge_count() const { return by_ends_.size(); }

  // The shortest strong path from `start` (taken as a recursive reader or not) to a node for which
  // `match(node, as_recursive_reader)` holds; its edges are then path().  `without`: an edge that
  // is left out, or 0.  Nothing is found when there is no memory for the search.
  template <typename Match>
  bool search(Arena& arena, uint32_t start, Mode start_mode, uint32_t without, const Match& match);
  [[nodiscard]] size_t path_length() const { return path_.count(); }
  [[nodiscard]] uint32_t path(size_t index) const { return path_[path_.count() - index]; }
  [[nodiscard]] uint64_t searches() const { return searches_; }

 private:
  struct Node {
    uint32_t first_out, first_in;
    uint32_t out, in;
    uint32_t seen[2];  // the search that last came here, as another taker / as a recursive reader
    uint32_t via[2];   // by which edge
    uint8_t via_recursive[2];  // from which state of its start
  };
  static uint64_t ends(uint32_t from, uint32_t to) {
    return static_cast<uint64_t>(from) << 32 | to;
  }
  bool visit(Arena& arena, uint32_t node, unsigned recursive, uint32_t edge, unsigned before);
  bool keep_path(Arena& arena, uint32_t start, uint32_t node, unsigned recursive);

  ChunkedArray<Node> nodes_;
  ChunkedArray<Edge> edges_;
  ChunkedArray<uint64_t> queue_;  // node * 2 + recursive
  ChunkedArray<uint32_t> path_;   // last edge first
  KeyMap by_ends_;
  uint32_t free_edges_ = 0;
  uint32_t generation_ = 0;
  uint32_t serial_ = 0;
  uint64_t searches_ = 0;
};

template <typename Match>
bool Graph::search(Arena& arena, uint32_t start, Mode start_mode, uint32_t without,
                   const Match& match) {
  ++searches_;
  ++generation_;
  queue_.clear();
  const unsigned start_recursive = start_mode == Mode::kRecursiveRead ? 1 : 0;
  if (!visit(arena, start, start_recursive, 0, 0)) return false;
  for (size_t at = 1; at < queue_.end(); ++at) {
    const auto node = static_cast<uint32_t>(queue_[at] >> 1);
    const auto before = static_cast<unsigned>(queue_[at] & 1);
    for (uint32_t id = nodes_[node].first_out; id != 0; id = edges_[id].next_out) {
      if (id == without) continue;
      const Edge& edge = edges_[id];
      const unsigned kinds = before != 0 ? edge.kinds & (kER | kEN) : edge.kinds;
      if (kinds == 0) continue;
      const unsigned recursive = (kinds & (kSN | kEN)) != 0 ? 0 : 1;
      const Node& next = nodes_[edge.to];
      // Whoever came as another taker can go wherever a recursive reader can.
      if (next.seen[0] == generation_ || next.seen[recursive] == generation_) continue;
      if (!visit(arena, edge.to, recursive, id, before)) return false;
      if (match(edge.to, recursive != 0)) return keep_path(arena, start, edge.to, recursive);
    }
  }
  return false;
}

}  // namespace netfs::lockdep
