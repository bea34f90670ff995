// Orders that nobody did yet, and what happened before what.

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

void State::declare(uint32_t first, Mode held, uint32_t second, Mode taken) {
  uint32_t id = learnt.graph.find(first, second);
  if (id == 0) id = learnt.graph.add(arena, first, second);
  if (id == 0) return;
  const Witness witness{.from = {.mode = held},
                        .to = {.mode = taken},
                        .held = nullptr,
                        .context = 0,
                        .segment = 0,
                        .name = "(declared)",
                        .id = 0,
                        .time_ns = 0,
                        .is_thread = false,
                        .alone = false,
                        .twins = false,
                        .run = 0,
                        .role = 0};
  Edge& edge = learnt.graph.edge(id);
  (void)add_witness(arena, edge, witness);
  if (edge.witnesses == 0) return;  // no memory
  edge.declared = true;
  const bool stronger = !implied(edge.kinds, witness.kind());
  edge.kinds |= witness.kind();
  if (stronger) close_circles(id, nullptr, held, taken);
}

void Validator::declare_order(const ClassKey& first, const ClassKey& second) {
  declare_order(first, Mode::kWrite, second, Mode::kWrite);
}

void Validator::declare_order(const ClassKey& first, Mode held, const ClassKey& second,
                              Mode taken) {
  const Inside inside;
  if (!inside) return;
  State& state = this->state();
  {
    const SpinGuard guard(state.lock);
    const uint32_t from = state.class_of_locked(first, 0);
    const uint32_t to = state.class_of_locked(second, 0);
    if (from != 0 && to != 0 && from != to) state.declare(from, held, to, taken);
  }
  if (state.pending.load(std::memory_order_relaxed)) state.deliver_all();
}

// A new segment makes known chains new for this context: what it does from here on may be
// concurrent with what it was not before.
Segment Validator::publish(Context& context) {
  const Inside inside;
  if (!inside) return 0;
  State& state = this->state();
  const SpinGuard guard(state.lock);
  const Segment published = state.segment_of(context);
  context.segment_ = state.learnt.segments.add(state.arena, published, 0);
  context.seed_ = mix(context.seed_, 1);
  return published;
}

void Validator::observe(Context& context, Segment segment) {
  const Inside inside;
  if (!inside || segment == 0) return;
  State& state = this->state();
  const SpinGuard guard(state.lock);
  context.segment_ = state.learnt.segments.add(state.arena, context.segment_, segment);
  context.seed_ = mix(context.seed_, 2);
}

}  // namespace netfs::lockdep
