// Who waits for whom, in a circle or not: for people who look at a program that stands still.

#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

// Null if `waiter` waits no longer, or there is no memory.  Under both locks.  What it adopted is
// left out: only what it holds itself stands still with it.
Finding* State::describe_wait(Context& waiter) {
  const uint64_t wait = waiter.waits_.load(std::memory_order_acquire);
  const Instance* wanted = waiter.waiting_.load(std::memory_order_acquire);
  const size_t at = wanted == nullptr ? 0 : find_held(waiter, *wanted);
  if (at == 0) return nullptr;
  Finding* finding = begin(ReportKind::kCircular, Verdict::kOrderOnly, nullptr);
  if (finding == nullptr) return nullptr;
  finding->context = {.name = intern(waiter.name()),
                      .id = waiter.id_,
                      .is_thread = waiter.kind_ == ContextKind::kThread};
  finding->taking = describe(waiter, at - 1);
  finding->stack = finding->taking.stack;
  finding->held = list<FoundLock>(at - 1);
  for (uint32_t i = 0; i < finding->held.count; ++i) finding->held.items[i] = describe(waiter, i);
  size_t holders = 0;
  const auto holds = [&](const Context& other) {
    return &other != &waiter && other.waiting_.load(std::memory_order_acquire) != wanted &&
           find_held(other, *wanted) != 0;
  };
  for (const Context* other = contexts; other != nullptr; other = other->next_) {
    holders += holds(*other) ? 1 : 0;
  }
  finding->waiting = list<FoundContext>(holders);
  uint32_t found = 0;
  for (const Context* other = contexts; other != nullptr; other = other->next_) {
    if (found == finding->waiting.count || !holds(*other)) continue;
    finding->waiting.items[found++] = {.name = intern(other->name()),
                                       .id = other->id_,
                                       .is_thread = other->kind_ == ContextKind::kThread};
  }
  finding->waiting.count = found;
  if (waiter.waiting_.load(std::memory_order_acquire) == wanted &&
      waiter.waits_.load(std::memory_order_acquire) == wait) {
    return finding;
  }
  free_finding(arena, finding);
  return nullptr;
}

std::vector<Report> Validator::waits() {
  const Inside inside;
  State& state = this->state();
  Finding* first = nullptr;
  {
    const SpinGuard guard(state.lock);
    const SpinGuard contexts_guard(state.registry);
    for (Context* at = state.contexts; at != nullptr; at = at->next_) {
      Finding* finding = state.describe_wait(*at);
      if (finding == nullptr) continue;
      finding->next = first;
      first = finding;
    }
  }
  std::vector<Report> waits;
  while (first != nullptr) {
    waits.push_back(make_report(*first, state.learnt.stacks));
    Finding* next = first->next;
    free_finding(state.arena, first);
    first = next;
  }
  return waits;
}

}  // namespace netfs::lockdep
