// What other runs did comes in: their classes, orders and witnesses, as if this run had seen them.
//
// A seeded class stands under a key that nobody has, until a key of this run has its identity.  A
// seeded order closes no circle by itself: circles are looked for when this run does one of their
// parts, or when they are asked for.

#include <new>

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/saved_graph.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

constexpr uint32_t kNone = SavedGraph::kNone;

}  // namespace

// Where the parts of the graph have come to; index by index.  On the heap, made before the lock is
// taken.
struct Seeding {
  Seeding(State& to, const SavedGraph& from)
      : state(to),
        graph(from),
        stacks(from.stacks.size()),
        classes(from.classes.size()),
        runs(from.runs.size()),
        run_names(from.runs.size()),
        serials(from.contexts.size()),
        segments(from.segments.size()),
        lock_sets(from.lock_sets.size()) {
    for (size_t i = 0; i < runs.size(); ++i) {
      run_names[i] = from.runs[i].program + "/" + std::to_string(from.runs[i].process);
    }
  }

  void bring_stacks();
  void bring_classes();
  void bring_contexts();
  void bring_lock_sets();
  void bring_edges();
  [[nodiscard]] uint32_t stack(uint32_t index) const { return index == kNone ? 0 : stacks[index]; }
  // Numbers of locks of one run must not meet those of another, nor of this one.
  [[nodiscard]] static uint64_t number(uint32_t run, uint64_t number) {
    return mix(run, number) | uint64_t{1} << 63;
  }
  [[nodiscard]] WitnessEnd end(const SavedGraph::End& end, uint32_t run) const {
    return {.number = number(run, end.number),
            .address = 0,
            .ip = 0,
            .stack = stack(end.stack),
            .mode = end.mode,
            .attempt = static_cast<Attempt>(end.attempt),
            .sync = end.sync};
  }

  State& state;
  const SavedGraph& graph;
  std::vector<uint32_t> stacks, classes, runs;
  std::vector<std::string> run_names;
  std::vector<uint32_t> serials, segments;
  std::vector<LockSet*> lock_sets;
};

void Seeding::bring_stacks() {
  for (size_t i = 0; i < stacks.size(); ++i) {
    uintptr_t frames[StackDepot::kFramesMax];
    size_t count = 0;
    for (const uint32_t place : graph.stacks[i]) {
      if (count < StackDepot::kFramesMax) frames[count++] = kSavedPlace | place;
    }
    stacks[i] = state.learnt.stacks.intern(state.arena, frames, count);
  }
}

void Seeding::bring_classes() {
  State::Learnt& learnt = state.learnt;
  for (size_t i = 0; i < classes.size(); ++i) {
    const SavedGraph::Class& saved = graph.classes[i];
    void* memory = state.arena.allocate(sizeof(ClassKey));
    if (memory == nullptr) return;
    const char* name = state.intern(saved.name.c_str());
    const char* identity = state.intern(saved.identity.c_str());
    const auto* key =
        new (memory) ClassKey(name, {.inner = static_cast<Wait>(saved.wait_inner),
                                     .outer = static_cast<Wait>(saved.wait_outer),
                                     .identity = identity,
                                     .locks = saved.one_lock ? Locks::kOne : Locks::kMany});
    classes[i] = state.class_of_locked(*key, saved.subclass);
    if (classes[i] == 0) continue;
    if (learnt.seeds.set(state.arena, State::seed_hash(identity, saved.subclass), classes[i])) {
      state.record(classes[i]).unclaimed = true;
    }
  }
}

void Seeding::bring_contexts() {
  State::Learnt& learnt = state.learnt;
  for (size_t i = 0; i < runs.size(); ++i) {
    runs[i] = learnt.runs.push(state.arena);
    if (runs[i] != 0) learnt.runs[runs[i]] = state.intern(run_names[i].c_str());
  }
  for (uint32_t& serial : serials) {
    serial = state.next_serial.fetch_add(1, std::memory_order_relaxed);
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    const SavedGraph::Segment& saved = graph.segments[i];
    segments[i] =
        learnt.segments.add(state.arena, saved.before == kNone ? 0 : segments[saved.before],
                            saved.observed == kNone ? 0 : segments[saved.observed]);
  }
}

void Seeding::bring_lock_sets() {
  for (size_t i = 0; i < lock_sets.size(); ++i) {
    const std::vector<SavedGraph::Gate>& gates = graph.lock_sets[i];
    LockSet* set = make_lock_set(state.arena, static_cast<uint32_t>(gates.size()));
    lock_sets[i] = set;
    if (set == nullptr) continue;
    for (size_t at = 0; at < gates.size(); ++at) {
      const SavedGraph::Gate& gate = gates[at];
      set->gates[at] = {.number = number(runs[graph.contexts[gate.owner].run], gate.number),
                        .address = 0,
                        .ip = 0,
                        .class_id = classes[gate.lock_class],
                        .owner = serials[gate.owner],
                        .stack = stack(gate.stack),
                        .mode = gate.mode,
                        .trylock = gate.trylock};
      set->hash = mix(mix(set->hash, set->gates[at].number), set->gates[at].owner);
    }
  }
}

void Seeding::bring_edges() {
  for (const SavedGraph::Edge& saved : graph.edges) {
    const uint32_t from = classes[saved.from];
    const uint32_t to = classes[saved.to];
    if (from == 0 || to == 0 || from == to || saved.witnesses.empty()) continue;
    uint32_t id = state.learnt.graph.find(from, to);
    if (id == 0) id = state.learnt.graph.add(state.arena, from, to);
    if (id == 0) return;
    Edge& edge = state.learnt.graph.edge(id);
    for (const SavedGraph::Witness& witness : saved.witnesses) {
      const SavedGraph::Context& context = graph.contexts[witness.context];
      const uint32_t run = runs[context.run];
      LockSet* held = witness.held == kNone ? nullptr : lock_sets[witness.held];
      const Witness brought{.from = end(witness.from, run),
                            .to = end(witness.to, run),
                            .held = held,
                            .context = serials[witness.context],
                            .segment = segments[witness.segment],
                            .name = state.intern(context.name.c_str()),
                            .id = context.id,
                            .time_ns = witness.time_ns,
                            .is_thread = context.is_thread,
                            .alone = witness.alone,
                            .twins = context.twins,
                            .run = run,
                            .role = context.role};
      if (run == 0 || !add_witness(state.arena, edge, brought)) continue;
      edge.kinds |= brought.kind();
      edge.seeded |= brought.kind();
    }
    if (edge.witnesses == 0) state.learnt.graph.remove(id);
  }
  for (LockSet* set : lock_sets) {
    if (set != nullptr) drop_lock_set(state.arena, set);
  }
}

void Validator::seed(const SavedGraph& graph) {
  const Inside inside;
  State& state = this->state();
  Seeding seeding(state, graph);
  const SpinGuard guard(state.lock);
  seeding.bring_stacks();
  seeding.bring_classes();
  seeding.bring_contexts();
  seeding.bring_lock_sets();
  seeding.bring_edges();
}

void Validator::check_seeded() {
  const Inside inside;
  State& state = this->state();
  {
    const SpinGuard guard(state.lock);
    State::Learnt& learnt = state.learnt;
    for (uint32_t node = 1; node < learnt.classes.end(); ++node) {
      for (uint32_t id = learnt.graph.first_out(node); id != 0;
           id = learnt.graph.edge(id).next_out) {
        for (const uint8_t kind : {kEN, kSN, kER, kSR}) {
          if ((learnt.graph.edge(id).seeded & kind) == 0) continue;
          state.close_circles(id, nullptr, (kind & (kEN | kER)) != 0 ? Mode::kWrite : Mode::kRead,
                              (kind & (kER | kSR)) != 0 ? Mode::kRecursiveRead : Mode::kWrite);
        }
      }
    }
  }
  if (state.pending.load(std::memory_order_relaxed)) state.deliver_all();
}

// The role is asked for where something is learnt: most contexts never need it.
void State::describe_learner(const Context& context, Witness& witness) {
  const SpinGuard guard(registry);
  witness.alone = context_count == 1;
  witness.role = context.role_ != 0 ? context.role_ : role_of(context);
  witness.twins = context.born_ && (births.find(context.role_) & kTwins) != 0;
}

}  // namespace netfs::lockdep
