// What was learnt, for people and for files (/proc/lockdep, /proc/lockdep_stats).
//
// What is under the lock is copied to memory of the arena first: the heap may not be touched there.

#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

struct ClassRow {
  ClassView view;
  uint32_t forward;
  uint32_t backward;
};

}  // namespace

std::vector<ClassInfo> Validator::classes() {
  const Inside inside;
  State& state = this->state();
  size_t room = 0;
  size_t count = 0;
  ClassRow* rows = nullptr;
  {
    const SpinGuard guard(state.lock);
    State::Learnt& learnt = state.learnt;
    room = learnt.live_classes;
    rows = static_cast<ClassRow*>(state.arena.allocate(room * sizeof(ClassRow)));
    for (uint32_t id = 1; rows != nullptr && id < learnt.classes.end(); ++id) {
      if (state.record(id).key == nullptr || count == room) continue;
      rows[count++] = {.view = state.view(id),
                       .forward = learnt.graph.out_count(id),
                       .backward = learnt.graph.in_count(id)};
    }
  }
  std::vector<ClassInfo> infos(count);
  for (size_t i = 0; i < count; ++i) {
    const ClassView& view = rows[i].view;
    infos[i] = {.id = view.id,
                .name = view.name,
                .version = view.version,
                .subclass = view.subclass,
                .usage = view.usage,
                .wait_outer = view.wait_outer,
                .wait_inner = view.wait_inner,
                .forward = rows[i].forward,
                .backward = rows[i].backward};
  }
  state.arena.release(rows, room * sizeof(ClassRow));
  return infos;
}

std::vector<EdgeInfo> Validator::edges() {
  const Inside inside;
  State& state = this->state();
  size_t room = 0;
  size_t count = 0;
  EdgeInfo* rows = nullptr;
  {
    const SpinGuard guard(state.lock);
    State::Learnt& learnt = state.learnt;
    room = learnt.graph.edge_count();
    rows = static_cast<EdgeInfo*>(state.arena.allocate(room * sizeof(EdgeInfo)));
    for (uint32_t node = 1; rows != nullptr && node < learnt.classes.end(); ++node) {
      for (uint32_t id = learnt.graph.first_out(node); id != 0 && count != room;
           id = learnt.graph.edge(id).next_out) {
        const Edge& edge = learnt.graph.edge(id);
        bool observed = false;
        for (unsigned i = 0; i < edge.witnesses; ++i) observed |= edge.ring[i]->context != 0;
        rows[count++] = {.from = edge.from,
                         .to = edge.to,
                         .kinds = edge.kinds,
                         .declared = edge.declared,
                         .observed = observed,
                         .in_circle = edge.in_circle};
      }
    }
  }
  std::vector<EdgeInfo> infos(rows, rows + count);
  state.arena.release(rows, room * sizeof(EdgeInfo));
  return infos;
}

Statistics Validator::statistics() {
  const Inside inside;
  State& state = this->state();
  const SpinGuard guard(state.lock);
  const State::Learnt& learnt = state.learnt;
  Statistics statistics{.classes = learnt.live_classes,
                        .edges = learnt.graph.edge_count(),
                        .chains = chains_.size(),
                        .stacks = learnt.stacks.count(),
                        .misses = learnt.misses,
                        .searches = learnt.graph.searches(),
                        .reports = learnt.reports,
                        .memory_bytes = state.arena.mapped() + state.context_arena.mapped(),
                        .memory_full = state.full()};
  const SpinGuard contexts_guard(state.registry);
  statistics.contexts = state.context_count;
  for (const Context* at = state.contexts; at != nullptr; at = at->next_) {
    statistics.acquires += at->acquires_.load(std::memory_order_relaxed);
  }
  return statistics;
}

}  // namespace netfs::lockdep
