// Circular waits that are real: who waits (Validator::contended) for a lock that somebody holds who
// waits ... for what the first one holds.
//
// Other contexts' held locks are read while their users run.  A context that waits does not change
// what it holds; so what was read is true if all that wait in the circle still wait, in the same
// wait, when it has been found.  Only what a context holds itself counts, not what it adopted.

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

Mode mode_of(const HeldLock& held) {
  return held::mode(held.state.load(std::memory_order_relaxed));
}

}  // namespace

// Whether `other` holds what `first` wants, in a mode that keeps it out.
bool State::keeps_waiting(Context& other, const Context& start, const Context& first,
                          const Instance& wanted, Mode mode) {
  if (&other == &first) return false;
  const Instance* waits = other.waiting_.load(std::memory_order_acquire);
  if (waits == &wanted) return false;  // it is in the same queue
  if (&other != &start && (waits == nullptr || other.scan_ == scan_generation)) return false;
  const size_t at = find_held(other, wanted);
  if (at == 0) return false;
  const Mode held = mode_of(other.held_.load(std::memory_order_acquire)[at - 1]);
  return held == Mode::kWrite || mode == Mode::kWrite;
}

bool State::waits_in_circle(Context& start, const Instance& instance, Mode mode) {
  ++scan_generation;
  start.scan_ = scan_generation;
  start.scan_from_ = nullptr;
  start.scan_next_ = nullptr;
  // From who waits to who keeps it waiting, and so on; linked by scan_next_.
  Context* last = &start;
  for (Context* first = &start; first != nullptr; first = first->scan_next_) {
    const Instance* wanted = &instance;
    Mode wanted_mode = mode;
    if (first != &start) {
      wanted = first->waiting_.load(std::memory_order_acquire);
      const size_t at = wanted == nullptr ? 0 : find_held(*first, *wanted);
      if (at == 0) continue;
      wanted_mode = mode_of(first->held_.load(std::memory_order_acquire)[at - 1]);
    }
    for (Context* other = contexts; other != nullptr; other = other->next_) {
      if (!keeps_waiting(*other, start, *first, *wanted, wanted_mode)) continue;
      other->scan_from_ = first;
      if (other == &start) return still_waits(start);
      other->scan_ = scan_generation;
      other->scan_waits_ = other->waits_.load(std::memory_order_relaxed);
      other->scan_next_ = nullptr;
      last->scan_next_ = other;
      last = other;
    }
  }
  return false;
}

bool State::still_waits(const Context& start) {
  for (const Context* at = start.scan_from_; at != &start; at = at->scan_from_) {
    if (at->waiting_.load(std::memory_order_acquire) == nullptr ||
        at->waits_.load(std::memory_order_relaxed) != at->scan_waits_) {
      return false;
    }
  }
  return true;
}

// `start` first; each is kept waiting by the next, the last by `start`.
FoundList<FoundContext> State::list_waiting(const Context& start) {
  size_t count = 1;
  for (const Context* at = start.scan_from_; at != &start; at = at->scan_from_) ++count;
  FoundList<FoundContext> waiting = list<FoundContext>(count);
  const Context* at = &start;
  for (uint32_t i = waiting.count; i > 0; --i) {
    waiting.items[i % waiting.count] = {
        .name = intern(at->name()), .id = at->id_, .is_thread = at->kind_ == ContextKind::kThread};
    at = at->scan_from_;
  }
  return waiting;
}

// The circle that waits_in_circle has just found, all of whose contexts stand still.
void State::emit_waits(Context& start) {
  const Context* least = &start;
  for (const Context* at = start.scan_from_; at != &start; at = at->scan_from_) {
    if (at->serial_ < least->serial_) least = at;
  }
  const uint64_t wait = least->waits_.load(std::memory_order_relaxed);
  if (!first_time(ReportKind::kCircular, least->serial_, wait, Verdict::kProved)) return;
  Finding* finding = begin(ReportKind::kCircular, Verdict::kProved, &start);
  if (finding == nullptr) return;
  finding->reason << "the contexts wait for each other now";
  finding->waiting = list_waiting(start);
  finding->chain = list<FoundEdge>(finding->waiting.count);
  const Context* at = &start;
  for (uint32_t i = finding->chain.count; i > 0; --i) {
    FoundEdge& edge = finding->chain.items[i % finding->chain.count];
    const Instance* wants = at->waiting_.load(std::memory_order_acquire);
    const Instance* holds = at->scan_from_->waiting_.load(std::memory_order_acquire);
    const size_t wanted = wants == nullptr ? 0 : find_held(*at, *wants);
    const size_t held = holds == nullptr ? 0 : find_held(*at, *holds);
    if (wanted != 0) edge.to = describe(*at, wanted - 1);
    if (held != 0) edge.from = describe(*at, held - 1);
    edge.context = {
        .name = intern(at->name()), .id = at->id_, .is_thread = at->kind_ == ContextKind::kThread};
    at = at->scan_from_;
  }
  if (finding->chain.count != 0) {
    finding->holding = finding->chain.items[0].from;
    finding->taking = finding->chain.items[0].to;
    finding->stack = finding->taking.stack;
  }
  add(finding);
}

size_t Validator::scan_waits() {
  const Inside inside;
  if (!inside) return 0;
  State& state = this->state();
  size_t stuck = 0;
  {
    const SpinGuard guard(state.lock);
    const SpinGuard contexts_guard(state.registry);
    for (Context* at = state.contexts; at != nullptr; at = at->next_) {
      const Instance* wanted = at->waiting_.load(std::memory_order_acquire);
      const size_t held = wanted == nullptr ? 0 : State::find_held(*at, *wanted);
      if (held == 0) continue;
      at->scan_waits_ = at->waits_.load(std::memory_order_relaxed);
      const Mode mode = mode_of(at->held_.load(std::memory_order_acquire)[held - 1]);
      if (!state.waits_in_circle(*at, *wanted, mode)) continue;
      ++stuck;
      state.emit_waits(*at);
    }
  }
  if (state.pending.load(std::memory_order_relaxed)) state.deliver_all();
  return stuck;
}

}  // namespace netfs::lockdep
