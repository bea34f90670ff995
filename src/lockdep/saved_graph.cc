#include "lockdep/saved_graph.h"

#include <algorithm>

#include "lockdep/graph.h"
#include "lockdep/hash.h"

namespace netfs::lockdep {
namespace {

constexpr uint32_t kNone = SavedGraph::kNone;
// More are not kept of one graph: all its moments count as one, which makes no circle LIKELY.
constexpr size_t kSegmentsMax = size_t{1} << 18;

uint8_t kind_of(const SavedGraph::Witness& witness) {
  return edge_kind(witness.from.mode, witness.to.mode);
}

}  // namespace

// Where what is in the graph that is added has come to; kNone: it was not needed yet.
struct SavedGraphMerger::Maps {
  explicit Maps(const SavedGraph& graph)
      : classes(graph.classes.size(), kNone),
        places(graph.places.size(), kNone),
        stacks(graph.stacks.size(), kNone),
        contexts(graph.contexts.size(), kNone),
        lock_sets(graph.lock_sets.size(), kNone) {}
  std::vector<uint32_t> classes, places, stacks, contexts, lock_sets;
  std::vector<bool> known_runs;  // of the graph: they had been added before
  uint32_t first_run = 0;        // in `all_`, of those that come from the graph
  size_t witnesses_before = 0;   // at the edge that is looked at
};

uint32_t SavedGraphMerger::keep_class(const SavedGraph& graph, uint32_t index, Maps& maps) {
  uint32_t& known = maps.classes[index];
  if (known != kNone) return known;
  const SavedGraph::Class& theirs = graph.classes[index];
  const auto [at, fresh] =
      classes_.try_emplace(theirs.identity + "/" + std::to_string(theirs.subclass),
                           static_cast<uint32_t>(all_.classes.size()));
  if (fresh) all_.classes.push_back(theirs);
  return known = at->second;
}

uint32_t SavedGraphMerger::keep_module(const SavedGraph::Module& module) {
  const auto [at, fresh] = modules_.try_emplace(module.build_id + " " + module.path,
                                                static_cast<uint32_t>(all_.modules.size()));
  if (fresh) all_.modules.push_back(module);
  return at->second;
}

uint32_t SavedGraphMerger::keep_place(const SavedGraph& graph, uint32_t index, Maps& maps) {
  uint32_t& known = maps.places[index];
  if (known != kNone) return known;
  const SavedGraph::Place place{.module = keep_module(graph.modules[graph.places[index].module]),
                                .offset = graph.places[index].offset};
  for (uint64_t hash = mix(place.module, place.offset);; ++hash) {
    const auto [at, fresh] = places_.try_emplace(hash, static_cast<uint32_t>(all_.places.size()));
    if (fresh) all_.places.push_back(place);
    if (fresh || all_.places[at->second] == place) return known = at->second;
  }
}

uint32_t SavedGraphMerger::keep_stack(const SavedGraph& graph, uint32_t index, Maps& maps) {
  if (index == kNone) return kNone;
  uint32_t& known = maps.stacks[index];
  if (known != kNone) return known;
  std::vector<uint32_t> stack;
  std::string bytes;
  for (const uint32_t place : graph.stacks[index]) {
    stack.push_back(keep_place(graph, place, maps));
    bytes.append(reinterpret_cast<const char*>(&stack.back()), sizeof stack.back());
  }
  const auto [at, fresh] =
      stacks_.try_emplace(std::move(bytes), static_cast<uint32_t>(all_.stacks.size()));
  if (fresh) all_.stacks.push_back(std::move(stack));
  return known = at->second;
}

uint32_t SavedGraphMerger::keep_run(const SavedGraph::Run& run) {
  const auto known = std::find(all_.runs.begin(), all_.runs.end(), run);
  if (known != all_.runs.end()) return static_cast<uint32_t>(known - all_.runs.begin());
  all_.runs.push_back(run);
  return static_cast<uint32_t>(all_.runs.size() - 1);
}

uint32_t SavedGraphMerger::keep_context(const SavedGraph& graph, uint32_t index, Maps& maps) {
  uint32_t& known = maps.contexts[index];
  if (known != kNone) return known;
  SavedGraph::Context context = graph.contexts[index];
  context.run = keep_run(graph.runs[context.run]);
  all_.contexts.push_back(std::move(context));
  return known = static_cast<uint32_t>(all_.contexts.size() - 1);
}

uint32_t SavedGraphMerger::keep_lock_set(const SavedGraph& graph, uint32_t index, Maps& maps) {
  if (index == kNone) return kNone;
  uint32_t& known = maps.lock_sets[index];
  if (known != kNone) return known;
  std::vector<SavedGraph::Gate> gates = graph.lock_sets[index];
  for (SavedGraph::Gate& gate : gates) {
    gate.lock_class = keep_class(graph, gate.lock_class, maps);
    gate.owner = keep_context(graph, gate.owner, maps);
    gate.stack = keep_stack(graph, gate.stack, maps);
  }
  all_.lock_sets.push_back(std::move(gates));
  return known = static_cast<uint32_t>(all_.lock_sets.size() - 1);
}

// By classes: numbers of locks mean nothing in another run.
bool SavedGraphMerger::same_gates(const SavedGraph& graph, uint32_t theirs, uint32_t ours,
                                  Maps& maps) {
  static const std::vector<SavedGraph::Gate> kNothing;
  const auto& one = theirs == kNone ? kNothing : graph.lock_sets[theirs];
  const auto& other = ours == kNone ? kNothing : all_.lock_sets[ours];
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [&](const SavedGraph::Gate& a, const SavedGraph::Gate& b) {
                      return keep_class(graph, a.lock_class, maps) == b.lock_class &&
                             a.mode == b.mode;
                    });
}

bool SavedGraphMerger::says_the_same(const SavedGraph& graph, const SavedGraph::Witness& theirs,
                                     const SavedGraph::Witness& ours, Maps& maps) {
  const SavedGraph::Context& one = graph.contexts[theirs.context];
  const SavedGraph::Context& other = all_.contexts[ours.context];
  return one.role == other.role && one.twins == other.twins && theirs.alone == ours.alone &&
         kind_of(theirs) == kind_of(ours) && theirs.to.attempt == ours.to.attempt &&
         same_gates(graph, theirs.held, ours.held, maps);
}

// Its segment stays the graph's until keep_segments.
void SavedGraphMerger::keep_witness(const SavedGraph& graph, const SavedGraph::Witness& witness,
                                    SavedGraph::Edge& edge, Maps& maps) {
  for (size_t i = 0; i < maps.witnesses_before; ++i) {
    if (says_the_same(graph, witness, edge.witnesses[i], maps)) return;
  }
  if (edge.witnesses.size() >= SavedGraph::kWitnessesMax) {
    // Room is made for a strength that was not seen yet, and for nothing else.
    const auto count = [&edge](uint8_t kind) {
      return std::count_if(edge.witnesses.begin(), edge.witnesses.end(),
                           [kind](const auto& other) { return kind_of(other) == kind; });
    };
    if (count(kind_of(witness)) != 0) return;
    const auto victim =
        std::find_if(edge.witnesses.begin(), edge.witnesses.end(),
                     [&count](const auto& other) { return count(kind_of(other)) > 1; });
    if (victim == edge.witnesses.end()) return;
    if (static_cast<size_t>(victim - edge.witnesses.begin()) < maps.witnesses_before) {
      --maps.witnesses_before;
    }
    edge.witnesses.erase(victim);
  }
  SavedGraph::Witness kept = witness;
  kept.context = keep_context(graph, witness.context, maps);
  kept.held = keep_lock_set(graph, witness.held, maps);
  kept.from.stack = keep_stack(graph, witness.from.stack, maps);
  kept.to.stack = keep_stack(graph, witness.to.stack, maps);
  edge.witnesses.push_back(kept);
}

// The segments of the witnesses that were kept, and what lies between them; a segment that only
// follows another one is that other.
void SavedGraphMerger::keep_segments(const SavedGraph& graph, Maps& maps) {
  std::vector<SavedGraph::Witness*> kept;
  for (SavedGraph::Edge& edge : all_.edges) {
    for (SavedGraph::Witness& witness : edge.witnesses) {
      if (all_.contexts[witness.context].run >= maps.first_run) kept.push_back(&witness);
    }
  }
  enum : uint8_t { kUnneeded, kBetween, kWanted };
  std::vector<uint8_t> needed(graph.segments.size(), kUnneeded);
  for (const SavedGraph::Witness* witness : kept) needed[witness->segment] = kWanted;
  for (size_t i = graph.segments.size(); i > 0; --i) {
    if (needed[i - 1] == kUnneeded) continue;
    for (const uint32_t next : {graph.segments[i - 1].before, graph.segments[i - 1].observed}) {
      if (next != kNone && needed[next] == kUnneeded) needed[next] = kBetween;
    }
  }
  std::vector<uint32_t> map(graph.segments.size(), kNone);
  const auto first = static_cast<uint32_t>(all_.segments.size());
  for (size_t i = 0; i < graph.segments.size(); ++i) {
    if (needed[i] == kUnneeded) continue;
    const auto mapped = [&map](uint32_t segment) {
      return segment == kNone ? kNone : map[segment];
    };
    SavedGraph::Segment segment{.before = mapped(graph.segments[i].before),
                                .observed = mapped(graph.segments[i].observed)};
    if (segment.before == segment.observed) segment.observed = kNone;
    if (segment.before == kNone) std::swap(segment.before, segment.observed);
    if (needed[i] == kBetween && segment.observed == kNone) {
      map[i] = segment.before;  // kNone as well: nothing that is kept comes before it
      if (segment.before != kNone) continue;
    }
    map[i] = static_cast<uint32_t>(all_.segments.size());
    all_.segments.push_back(segment);
  }
  const bool too_many = all_.segments.size() - first > kSegmentsMax;
  if (too_many) all_.segments.resize(first + 1);
  for (SavedGraph::Witness* witness : kept) {
    witness->segment = too_many ? first : map[witness->segment];
  }
}

void SavedGraphMerger::add(const SavedGraph& graph) {
  Maps maps(graph);
  maps.first_run = static_cast<uint32_t>(all_.runs.size());
  for (const SavedGraph::Run& run : graph.runs) {
    maps.known_runs.push_back(std::find(all_.runs.begin(), all_.runs.end(), run) !=
                              all_.runs.end());
  }
  for (uint32_t i = 0; i < graph.classes.size(); ++i) (void)keep_class(graph, i, maps);
  for (const SavedGraph::Edge& theirs : graph.edges) {
    const uint64_t from = keep_class(graph, theirs.from, maps);
    const uint32_t to = keep_class(graph, theirs.to, maps);
    const auto [at, fresh] =
        edges_.try_emplace(from << 32 | to, static_cast<uint32_t>(all_.edges.size()));
    if (fresh) all_.edges.push_back({.from = static_cast<uint32_t>(from), .to = to});
    SavedGraph::Edge& edge = all_.edges[at->second];
    maps.witnesses_before = edge.witnesses.size();
    for (const SavedGraph::Witness& witness : theirs.witnesses) {
      if (maps.known_runs[graph.contexts[witness.context].run]) continue;
      keep_witness(graph, witness, edge, maps);
    }
  }
  keep_segments(graph, maps);
}

}  // namespace netfs::lockdep
