// Something new happened: learns its edges and remembers it (validate_chain, check_prevs_add).
//
// Edges lead to the new lock from ALL that is held, not from the nearest alone: a verdict needs to
// know what one context holds at once, and what is past a recursive reader is not reached by going
// through it.  Only a context that holds more than kDirectMax locks is cut short, as the kernel
// does it, at the first that is neither a try nor a recursive reader.
//
// A chain is learnt anew for each of the first kContextsKept contexts that do it, so that the
// witnesses show whether several do; after those anybody's is known.

#include <ctime>

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

constexpr uint32_t kDirectMax = 64;
constexpr uint32_t kContextsKept = 8;
constexpr unsigned kCountBits = 4;  // of a value in Learnt::chains
constexpr uint32_t kCountMask = (1U << kCountBits) - 1;
static_assert(kContextsKept <= kCountMask);

int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace

// The stack from the caller on: what lies inside the wrappers is cut off, where it can be told.
void State::capture(uintptr_t ip, uintptr_t* frames, size_t* count) const {
  const Validator::Options& options = validator.options_;
  size_t got = options.stacks == nullptr
                   ? 0
                   : options.stacks(options.stacks_user, frames + 1, StackDepot::kFramesMax - 1);
  if (got > StackDepot::kFramesMax - 1) got = StackDepot::kFramesMax - 1;
  for (size_t i = 0; i < got; ++i) {
    if (frames[i + 1] != ip) continue;
    for (size_t j = i; j < got; ++j) frames[j - i] = frames[j + 1];
    *count = got - i;
    return;
  }
  frames[0] = ip;
  *count = got + 1;
}

uint32_t State::stack_of(uint64_t probe, uintptr_t ip) const {
  const uint32_t stack = learnt.chains.find(probe) >> kCountBits;
  const KeptStack* kept = learnt.stacks.get(stack);
  return kept != nullptr && kept->count != 0 && kept->frames[0] == ip ? stack : 0;
}

uint32_t State::segment_of(Context& context) {
  if (context.segment_ == 0) context.segment_ = learnt.segments.add(arena, 0, 0);
  return context.segment_;
}

// Locks whose classes are not validated are left out.
void State::fill_lock_set(Acquisition& a) {
  uint32_t count = 0;
  const auto validated = [](const Context& owner, size_t index) {
    return held::class_id(owner.held_[index].state.load(std::memory_order_relaxed)) != 0;
  };
  for_each_held(a.context, [&](const Context& owner, size_t index) {
    count += validated(owner, index) ? 1 : 0;
    return true;
  });
  a.held = make_lock_set(arena, count);
  if (a.held == nullptr) return;
  uint32_t at = count;
  for_each_held(a.context, [&](const Context& owner, size_t index) {
    if (!validated(owner, index)) return true;
    const FoundLock found = describe(owner, index);
    const Instance& instance = *owner.held_[index].instance.load(std::memory_order_relaxed);
    a.held->gates[--at] = {.number = number_of(instance),
                           .address = found.address,
                           .ip = found.ip,
                           .class_id = found.lock_class.id,
                           .owner = owner.serial_,
                           .stack = found.stack,
                           .mode = found.mode,
                           .trylock = found.trylock};
    a.held->hash = mix(mix(a.held->hash, a.held->gates[at].number), owner.serial_);
    return true;
  });
}

void State::learn_edge(Acquisition& a, const Gate& from) {
  if (from.class_id == a.class_id) return;  // check_same_class has looked at it
  uint32_t id = learnt.graph.find(from.class_id, a.class_id);
  if (id == 0) id = learnt.graph.add(arena, from.class_id, a.class_id);
  if (id == 0) return;
  const Attempt from_attempt = from.trylock ? Attempt::kTry : Attempt::kBlocking;
  Witness witness{
      .from = {.number = from.number,
               .address = from.address,
               .ip = from.ip,
               .stack = from.stack,
               .mode = from.mode,
               .attempt = from_attempt,
               .sync = false},
      .to = {.number = number_of(a.instance),
             .address = reinterpret_cast<uintptr_t>(&a.instance),
             .ip = a.ip,
             .stack = a.stack,
             .mode = a.how.mode,
             .attempt = a.how.attempt,
             .sync = a.sync},
      .held = a.held,
      .context = a.context.serial_,
      .segment = segment_of(a.context),
      .name = intern(a.context.name()),
      .id = a.context.id_,
      .time_ns = now_ns(),
      .is_thread = a.context.kind_ == ContextKind::kThread,
      .alone = false,
      .twins = false,
      .run = 0,
      .role = 0,
  };
  describe_learner(a.context, witness);
  Edge& edge = learnt.graph.edge(id);
  const bool kept = add_witness(arena, edge, witness);
  if (edge.witnesses == 0) return;  // no memory
  // What only other runs did counts as new: its circles were not looked for.
  const auto own = static_cast<uint8_t>(edge.kinds & ~edge.seeded);
  const bool stronger = !implied(own, witness.kind());
  edge.kinds |= witness.kind();
  edge.seeded &= static_cast<uint8_t>(~witness.kind());
  if (kept && edge.open_circles != 0) judge_again(id, a);
  if (!stronger) return;
  close_circles(id, &a, from.mode, a.how.mode);
  if (learnt.signal_classes.count() != 0) {
    check_signal_paths(ReportKind::kUnsafeOrder, {.context = a.context,
                                                  .class_id = a.class_id,
                                                  .instance = &a.instance,
                                                  .mode = a.how.mode,
                                                  .ip = a.ip,
                                                  .stack = a.stack});
  }
}

void State::learn_edges(Acquisition& a) {
  fill_lock_set(a);
  if (a.held == nullptr) return;
  for (uint32_t i = a.held->count; i > 0; --i) {
    const Gate& from = a.held->gates[i - 1];
    learn_edge(a, from);
    const bool far = a.held->count - i >= kDirectMax;
    if (far && !from.trylock && from.mode != Mode::kRecursiveRead) break;
  }
  drop_lock_set(arena, a.held);
}

void State::remember(const Acquisition& a) {
  (void)validator.chains_.insert(arena, a.own);
  const uint32_t seen = learnt.chains.find(a.probe);
  if (seen == 0) {
    (void)learnt.chains.set(arena, a.probe, a.stack << kCountBits | 1);
  } else if (!a.watched && (seen & kCountMask) < kContextsKept) {
    (void)learnt.chains.set(arena, a.probe, seen + 1);
    if ((seen & kCountMask) + 1 == kContextsKept) (void)validator.chains_.insert(arena, a.probe);
  }
  if (a.watched && --record(a.class_id).watch_left == 0) unwatch(a.class_id);
}

void State::learn(Acquisition& a) {
  if (full()) return;
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(a.ip, frames, &count);
  const SpinGuard guard(lock);
  ++learnt.misses;
  a.stack = learnt.stacks.intern(arena, frames, count);
  mark_usage(a);
  if (a.how.attempt != Attempt::kTry) {
    check_wait(a);
    if ((a.state & held::kNested) == 0) learn_edges(a);
  }
  remember(a);
}

}  // namespace netfs::lockdep
