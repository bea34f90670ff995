// What this run did, as a SavedGraph.
//
// What is under the lock is copied to memory of the arena first: the heap may not be touched there.

#include <unistd.h>
#include <unordered_map>

#include "lockdep/inside.h"
#include "lockdep/module_of.h"
#include "lockdep/saved_graph.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

constexpr uint32_t kNone = SavedGraph::kNone;

std::string build_id_of(const Module& module) {
  std::string id;
  for (size_t i = 0; i < module.build_id_bytes; ++i) {
    id += "0123456789abcdef"[module.build_id[i] >> 4];
    id += "0123456789abcdef"[module.build_id[i] & 15];
  }
  return id;
}

std::string program_path() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : std::string();
}

}  // namespace

// The rows that are copied under the lock, and what is made of them without it.
struct Taking {
  struct ClassRow {
    uint32_t id;
    const char* name;
    const char* identity;
    uint8_t subclass, wait_outer, wait_inner;
    bool one_lock;
  };
  struct WitnessRow {
    uint32_t from, to;
    Witness witness;
  };

  Taking(State& of, const SavedRun& run) : state(of), program(program_path()) {
    graph.runs.push_back(run);
  }
  void copy();
  void give_back();
  void make();
  uint32_t place(uintptr_t address);
  uint32_t stack(uint32_t id);
  uint32_t context(uint32_t serial);
  uint32_t lock_set(const LockSet* set);
  SavedGraph::End end(const WitnessEnd& end);

  State& state;
  std::string program;
  SavedGraph graph;
  ClassRow* class_rows = nullptr;
  size_t class_room = 0, class_count = 0;
  WitnessRow* witness_rows = nullptr;
  size_t witness_room = 0, witness_count = 0;
  Segments::View segments{};
  std::unordered_map<uint32_t, uint32_t> classes, stacks, contexts;
  std::unordered_map<const LockSet*, uint32_t> lock_sets;
  std::unordered_map<uintptr_t, uint32_t> places;
  std::unordered_map<std::string, uint32_t> modules;
};

void Taking::copy() {
  const SpinGuard guard(state.lock);
  State::Learnt& learnt = state.learnt;
  class_room = learnt.live_classes;
  class_rows = static_cast<ClassRow*>(state.arena.allocate(class_room * sizeof(ClassRow)));
  witness_room = learnt.graph.edge_count() * Edge::kRing;
  witness_rows = static_cast<WitnessRow*>(state.arena.allocate(witness_room * sizeof(WitnessRow)));
  if (class_rows == nullptr || witness_rows == nullptr) return;
  for (uint32_t id = 1; id < learnt.classes.end(); ++id) {
    const ClassRecord& found = state.record(id);
    if (found.key == nullptr || found.unclaimed || class_count == class_room) continue;
    // Which of several that share a name is which is not known to other runs.
    const bool shared = learnt.versions.find(reinterpret_cast<uintptr_t>(found.name)) > 1;
    if (found.identity == nullptr ? shared : *found.identity == '\0') continue;
    class_rows[class_count++] = {
        .id = id,
        .name = found.name,
        .identity = found.identity == nullptr ? found.name : found.identity,
        .subclass = found.subclass,
        .wait_outer = found.wait_outer,
        .wait_inner = found.wait_inner,
        .one_lock = found.one_lock};
    for (uint32_t at = learnt.graph.first_out(id); at != 0; at = learnt.graph.edge(at).next_out) {
      const Edge& edge = learnt.graph.edge(at);
      for (unsigned i = 0; i < edge.witnesses && witness_count < witness_room; ++i) {
        const Witness& witness = *edge.ring[i];
        if (witness.run != 0 || witness.context == 0) continue;
        if (witness.held != nullptr) ++witness.held->references;
        witness_rows[witness_count] = {.from = id, .to = edge.to, .witness = witness};
        ++witness_count;
      }
    }
  }
  segments = learnt.segments.view();
  const SpinGuard contexts_guard(state.registry);
  for (size_t i = 0; i < witness_count; ++i) {
    Witness& witness = witness_rows[i].witness;
    witness.twins |= (state.births.find(witness.role) & State::kTwins) != 0;
  }
}

void Taking::give_back() {
  const SpinGuard guard(state.lock);
  for (size_t i = 0; i < witness_count; ++i) {
    LockSet* held = witness_rows[i].witness.held;
    if (held != nullptr) drop_lock_set(state.arena, held);
  }
  state.arena.release(class_rows, class_room * sizeof(ClassRow));
  state.arena.release(witness_rows, witness_room * sizeof(WitnessRow));
}

uint32_t Taking::place(uintptr_t address) {
  const auto [at, fresh] = places.try_emplace(address, static_cast<uint32_t>(graph.places.size()));
  if (!fresh) return at->second;
  // The byte before: a call may be the last that a module has.
  Module found;
  SavedGraph::Module module{.build_id = {}, .path = "?"};
  uintptr_t bias = 0;
  if (module_of(address - 1, found)) {
    bias = found.bias;
    module = {.build_id = build_id_of(found),
              .path = found.path[0] == '\0' ? program : std::string(found.path)};
  }
  const auto [index, is_new] =
      modules.try_emplace(module.path, static_cast<uint32_t>(graph.modules.size()));
  if (is_new) graph.modules.push_back(module);
  graph.places.push_back({.module = index->second, .offset = address - bias});
  return at->second;
}

uint32_t Taking::stack(uint32_t id) {
  const KeptStack* kept = state.learnt.stacks.get(id);
  if (kept == nullptr) return kNone;
  const auto [at, fresh] = stacks.try_emplace(id, static_cast<uint32_t>(graph.stacks.size()));
  if (!fresh) return at->second;
  std::vector<uint32_t> frames;
  for (uint32_t i = 0; i < kept->count; ++i) frames.push_back(place(kept->frames[i]));
  graph.stacks.push_back(std::move(frames));
  return at->second;
}

// One that held a gate and is known for nothing else has no name.
uint32_t Taking::context(uint32_t serial) {
  const auto [at, fresh] =
      contexts.try_emplace(serial, static_cast<uint32_t>(graph.contexts.size()));
  if (fresh) graph.contexts.push_back({.run = 0, .name = "?", .is_thread = false});
  return at->second;
}

uint32_t Taking::lock_set(const LockSet* set) {
  if (set == nullptr) return kNone;
  const auto [at, fresh] =
      lock_sets.try_emplace(set, static_cast<uint32_t>(graph.lock_sets.size()));
  if (!fresh) return at->second;
  graph.lock_sets.emplace_back();
  for (uint32_t i = 0; i < set->count; ++i) {
    const Gate& gate = set->gates[i];
    const auto found = classes.find(gate.class_id);
    if (found == classes.end()) continue;
    graph.lock_sets[at->second].push_back({.number = gate.number,
                                           .lock_class = found->second,
                                           .owner = context(gate.owner),
                                           .stack = stack(gate.stack),
                                           .mode = gate.mode,
                                           .trylock = gate.trylock});
  }
  return at->second;
}

SavedGraph::End Taking::end(const WitnessEnd& end) {
  return {.number = end.number,
          .stack = stack(end.stack),
          .mode = end.mode,
          .attempt = static_cast<uint8_t>(end.attempt),
          .sync = end.sync};
}

void Taking::make() {
  for (size_t i = 0; i < class_count; ++i) {
    const ClassRow& row = class_rows[i];
    classes[row.id] = static_cast<uint32_t>(graph.classes.size());
    graph.classes.push_back({.identity = row.identity,
                             .name = row.name,
                             .subclass = row.subclass,
                             .wait_outer = row.wait_outer,
                             .wait_inner = row.wait_inner,
                             .one_lock = row.one_lock});
  }
  // Segments are numbered from 1, each after those it follows; 0 is none.
  graph.segments.emplace_back();  // for a context whose segment found no memory
  for (uint32_t id = 1; id < segments.end; ++id) {
    const auto index = [](uint32_t segment) { return segment == 0 ? kNone : segment; };
    graph.segments.push_back(
        {.before = index(segments.before(id)), .observed = index(segments.observed(id))});
  }
  for (size_t i = 0; i < witness_count; ++i) {
    const WitnessRow& row = witness_rows[i];
    const Witness& witness = row.witness;
    const auto from = classes.find(row.from);
    const auto to = classes.find(row.to);
    if (from == classes.end() || to == classes.end()) continue;
    if (graph.edges.empty() || graph.edges.back().from != from->second ||
        graph.edges.back().to != to->second) {
      graph.edges.push_back({.from = from->second, .to = to->second, .witnesses = {}});
    }
    const uint32_t who = context(witness.context);
    graph.contexts[who] = {.run = 0,
                           .name = witness.name,
                           .id = witness.id,
                           .is_thread = witness.is_thread,
                           .role = witness.role,
                           .twins = witness.twins};
    graph.edges.back().witnesses.push_back({.from = end(witness.from),
                                            .to = end(witness.to),
                                            .context = who,
                                            .segment = witness.segment,
                                            .held = lock_set(witness.held),
                                            .time_ns = witness.time_ns,
                                            .alone = witness.alone});
  }
}

SavedGraph Validator::save(const SavedRun& run) {
  const Inside inside;
  State& state = this->state();
  Taking taking(state, run);
  taking.copy();
  taking.make();
  taking.give_back();
  // What nothing refers to is left out.
  SavedGraphMerger merger;
  merger.add(taking.graph);
  return merger.take();
}

}  // namespace netfs::lockdep
