// What a finding says: classes, locks, contexts, as they are now.  Under the lock; no heap.

#include <new>

#include "lockdep/hash.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

// The kernel's character for one state: '.' never in a handler, always blocked; '-' in a handler;
// '+' held with a signal unblocked; '?' both.
char usage_char(uint64_t in, uint64_t held) {
  if (in != 0) return held != 0 ? '?' : '-';
  return held != 0 ? '+' : '.';
}

}  // namespace

ClassView State::view(uint32_t class_id) {
  if (class_id == 0) return {.id = 0, .version = 1, .name = "(not validated)"};
  const ClassRecord& found = record(class_id);
  ClassView view{.id = class_id,
                 .version = found.version,
                 .name = found.name,
                 .usage = {},
                 .subclass = found.subclass,
                 .wait_outer = found.wait_outer,
                 .wait_inner = found.wait_inner};
  view.usage[0] = usage_char(found.usage.in_write, found.usage.held_write);
  view.usage[1] = usage_char(found.usage.in_read | found.usage.in_recursive, found.usage.held_read);
  return view;
}

FoundLock State::describe(uint32_t class_id, const Instance& instance, const How& how, uintptr_t ip,
                          uint32_t stack) {
  return {.lock_class = view(class_id),
          .address = reinterpret_cast<uintptr_t>(&instance),
          .ip = ip,
          .stack = stack,
          .mode = how.mode,
          .trylock = how.attempt == Attempt::kTry,
          .sync = false};
}

FoundLock State::describe(const Context& owner, size_t index) {
  const HeldLock& held = owner.held_[index];
  const uint64_t state = held.state.load(std::memory_order_relaxed);
  const uint64_t key = index + 1 < owner.depth() ? owner.held_[index + 1].previous_key : owner.key_;
  return {.lock_class = view(held::class_id(state)),
          .address = reinterpret_cast<uintptr_t>(held.instance.load(std::memory_order_relaxed)),
          .ip = held.ip,
          .stack = stack_of(key ^ owner.signals_salt_ ^ adopted_salt(owner), held.ip),
          .mode = held::mode(state),
          .trylock = held::attempt(state) == Attempt::kTry,
          .sync = false};
}

FoundLock State::describe(const WitnessEnd& end, uint32_t class_id) {
  return {.lock_class = view(class_id),
          .address = end.address,
          .ip = end.ip,
          .stack = end.stack,
          .mode = end.mode,
          .trylock = end.attempt == Attempt::kTry,
          .sync = end.sync};
}

void State::describe_held(const Context& context, Finding& finding) {
  const size_t count = held_count(context);
  finding.held = list<FoundLock>(count);
  if (finding.held.count == 0) return;
  size_t at = count;
  for_each_held(context, [&](const Context& owner, size_t index) {
    finding.held.items[--at] = describe(owner, index);
    return at != 0;
  });
}

void State::describe_edge(const Edge& edge, const Witness& witness, FoundEdge& out) {
  out.from = describe(witness.from, edge.from);
  out.to = describe(witness.to, edge.to);
  out.context = {.name = witness.name, .id = witness.id, .is_thread = witness.is_thread};
  out.time_ns = witness.time_ns;
  out.declared = witness.context == 0;
  out.run = witness.run == 0 ? nullptr : learnt.runs[witness.run];
  if (witness.held == nullptr || witness.held->count < 2) return;
  out.gates = list<FoundLock>(witness.held->count - 1);
  uint32_t at = 0;
  for (uint32_t i = 0; i < witness.held->count && at < out.gates.count; ++i) {
    const Gate& gate = witness.held->gates[i];
    if (gate.number == witness.from.number) continue;
    out.gates.items[at++] = {.lock_class = view(gate.class_id),
                             .address = gate.address,
                             .ip = gate.ip,
                             .stack = gate.stack,
                             .mode = gate.mode,
                             .trylock = gate.trylock,
                             .sync = false};
  }
  out.gates.count = at;
}

bool State::first_time(ReportKind kind, uint64_t what, uint64_t which, Verdict verdict) {
  const uint64_t hash = mix(mix(static_cast<uint64_t>(kind), what), which);
  const auto level = static_cast<uint32_t>(verdict) + 1;
  if (learnt.reported.find(hash) >= level) return false;
  return learnt.reported.set(arena, hash, level);
}

Finding* State::begin(ReportKind kind, Verdict verdict, const Context* context) {
  void* memory = arena.allocate(sizeof(Finding));
  if (memory == nullptr) return nullptr;
  auto* finding = new (memory) Finding;
  finding->kind = kind;
  finding->verdict = verdict;
  if (context == nullptr) {
    finding->context = {.name = "(declared)", .id = 0, .is_thread = false};
    return finding;
  }
  finding->context = {.name = intern(context->name()),
                      .id = context->id_,
                      .is_thread = context->kind_ == ContextKind::kThread};
  describe_held(*context, *finding);
  return finding;
}

void State::add(Finding* finding) {
  (learnt.last != nullptr ? learnt.last->next : learnt.first) = finding;
  learnt.last = finding;
  pending.store(true, std::memory_order_relaxed);
}

}  // namespace netfs::lockdep
