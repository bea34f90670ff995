// What a fork keeps, and locks whose holders it did not copy.
//
// The child has one thread, the one that forked, and a copy of all memory.  What the other threads
// held stays locked for ever there; that is no error until somebody waits for it.  A thread that
// was itself waiting for a lock does not hold it.

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

bool keeps_out(Mode held, Mode wanted) {
  return held == Mode::kWrite || wanted == Mode::kWrite;
}

}  // namespace

void State::orphan_locks(const Context& gone) {
  const HeldLock* held = gone.held_.load(std::memory_order_relaxed);
  const Instance* waits = gone.waiting_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < gone.depth(); ++i) {
    const Instance* instance = held[i].instance.load(std::memory_order_relaxed);
    const uint64_t word = held[i].state.load(std::memory_order_relaxed);
    if (instance == nullptr || instance == waits || held::class_id(word) == 0) continue;
    auto* orphan = static_cast<Orphan*>(arena.allocate(sizeof(Orphan)));
    if (orphan == nullptr) return;
    *orphan = {.next = learnt.orphans,
               .instance = instance,
               .lock = describe(gone, i),
               .holder = {.name = intern(gone.name()),
                          .id = gone.id_,
                          .is_thread = gone.kind_ == ContextKind::kThread}};
    learnt.orphans = orphan;
  }
  orphaned.store(learnt.orphans != nullptr, std::memory_order_relaxed);
}

void State::drop_orphans(uintptr_t from, uintptr_t to) {
  const SpinGuard guard(lock);
  for (Orphan** at = &learnt.orphans; *at != nullptr;) {
    Orphan* orphan = *at;
    const auto address = reinterpret_cast<uintptr_t>(orphan->instance);
    if (address < from || address >= to) {
      at = &orphan->next;
      continue;
    }
    *at = orphan->next;
    arena.release(orphan, sizeof(Orphan));
  }
  orphaned.store(learnt.orphans != nullptr, std::memory_order_relaxed);
}

// Whether another context has got the lock since, which it could not if it were still held: it was
// made anew by somebody who did not say so.
bool State::has_new_holder(const Context& context, const Orphan& orphan) {
  const SpinGuard guard(registry);
  for (const Context* at = contexts; at != nullptr; at = at->next_) {
    if (at == &context || at->waiting_.load(std::memory_order_acquire) == orphan.instance) continue;
    const size_t held = find_held(*at, *orphan.instance);
    if (held == 0) continue;
    const HeldLock* locks = at->held_.load(std::memory_order_acquire);
    const uint64_t word = locks[held - 1].state.load(std::memory_order_relaxed);
    if (keeps_out(held::mode(word), orphan.lock.mode)) return true;
  }
  return false;
}

void State::check_orphan(Context& context, const Instance& instance, const How& how, uintptr_t ip,
                         Waiting waiting) {
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(ip, frames, &count);
  const SpinGuard guard(lock);
  const Orphan* orphan = learnt.orphans;
  while (orphan != nullptr &&
         (orphan->instance != &instance || !keeps_out(orphan->lock.mode, how.mode))) {
    orphan = orphan->next;
  }
  if (orphan == nullptr || has_new_holder(context, *orphan)) return;
  const uint32_t id = class_of_locked(instance.key(), how.subclass & 7);
  if (id == 0 || !first_time(ReportKind::kOrphaned, record(id).serial, 0, Verdict::kProved)) return;
  Finding* finding = begin(ReportKind::kOrphaned, Verdict::kProved, &context);
  if (finding == nullptr) return;
  finding->reason << "nobody is left to release it";
  finding->stack = learnt.stacks.intern(arena, frames, count);
  finding->taking = describe(id, instance, how, ip, finding->stack);
  finding->taking.sync = waiting == Waiting::kForAll;
  finding->holding = orphan->lock;
  finding->holder = orphan->holder;
  add(finding);
}

void Validator::before_fork() {
  ++t_inside;
  State& state = this->state();
  state.lock.lock();
  state.registry.lock();
  state.arena.before_fork();
  state.context_arena.before_fork();
}

void Validator::after_fork_in_parent() {
  State& state = this->state();
  state.context_arena.after_fork();
  state.arena.after_fork();
  state.registry.unlock();
  state.lock.unlock();
  --t_inside;
}

void Validator::after_fork_in_child(Context* survivor, uint64_t id) {
  const Inside inside;
  after_fork_in_parent();  // and nobody else is here
  State& state = this->state();
  const SpinGuard guard(state.lock);
  // The parent shows what was found before.
  while (Finding* finding = state.learnt.first) {
    state.learnt.first = finding->next;
    free_finding(state.arena, finding);
  }
  state.learnt.last = nullptr;
  state.pending.store(false, std::memory_order_relaxed);
  if (survivor != nullptr && id != 0) survivor->id_ = id;
  for (Context* at = state.contexts; at != nullptr;) {
    Context& context = *at;
    at = at->next_;
    if (&context == survivor || context.kind_ != ContextKind::kThread) continue;
    state.orphan_locks(context);
    state.delist(context);
    context.depth_.store(0, std::memory_order_relaxed);  // should it be destroyed
  }
}

}  // namespace netfs::lockdep
