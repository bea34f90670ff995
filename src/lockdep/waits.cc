// Circular waits that are real: who waits (Validator::contended) for a lock that somebody holds who
// waits ... for what the first one holds.
//
// Other contexts' held locks are read while their users run.  A context that waits does not change
// what it holds; so what was read is true if all that wait in the circle still wait, in the same
// wait, when it has been found.
//
// What a context has adopted counts as its own: nobody may change what an adopted context holds, so
// none of that is given up before the adopter goes on.  A context says what it has adopted when it
// begins to wait (State::stands), for the adoptions live on its stack.

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

bool keeps_out(Mode held, Mode wanted) {
  return held == Mode::kWrite || wanted == Mode::kWrite;
}

}  // namespace

State::Hold State::find_kept(const Context& context, const Instance& instance) {
  const auto in = [&instance](const Context& owner) -> Hold {
    const size_t at = find_held(owner, instance);
    if (at == 0) return {};
    const HeldLock* locks = owner.held_.load(std::memory_order_acquire);
    return {&owner, at - 1, locks[at - 1].state.load(std::memory_order_relaxed)};
  };
  Hold found = in(context);
  for (const Adopt* adopt = context.standing_; adopt != nullptr && found.owner == nullptr;
       adopt = adopt->next_) {
    found = in(adopt->context_);
  }
  return found;
}

// The lock for which `context` waits for ever, as it announced it; none if it does not.
State::Hold State::find_wanted(const Context& context) {
  const Instance* wanted = context.waiting_.load(std::memory_order_acquire);
  if (wanted == nullptr) return {};
  const size_t at = find_held(context, *wanted);
  if (at == 0) return {};
  const HeldLock* locks = context.held_.load(std::memory_order_acquire);
  const uint64_t state = locks[at - 1].state.load(std::memory_order_relaxed);
  if (held::attempt(state) != Attempt::kBlocking) return {};
  return {&context, at - 1, state};
}

// Whether `other` holds what `first` wants, in a mode that keeps it out.
bool State::keeps_waiting(const Context& other, const Context& start, const Context& first,
                          const Instance& wanted, Mode mode) const {
  if (&other == &first) return false;
  if (other.waiting_.load(std::memory_order_acquire) == &wanted) return false;  // the same queue
  const Hold wants = find_wanted(other);
  if (&other != &start && (other.scan_ == scan_generation || wants.owner == nullptr)) return false;
  const Hold kept = find_kept(other, wanted);
  if (kept.owner == nullptr || !keeps_out(held::mode(kept.state), mode)) return false;
  // What came after the lock that it waits for is a signal handler's, which goes on.
  return wants.owner == nullptr || kept.owner != &other || kept.index < wants.index;
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
      const Hold wants = find_wanted(*first);
      wanted = first->waiting_.load(std::memory_order_acquire);
      if (wants.owner == nullptr || wanted == nullptr) continue;
      wanted_mode = held::mode(wants.state);
    }
    for (Context* other = contexts; other != nullptr; other = other->next_) {
      // Which wait it is in comes first: what is read after that belongs to it, or to a later one.
      const uint64_t waits = other->waits_.load(std::memory_order_acquire);
      if (!keeps_waiting(*other, start, *first, *wanted, wanted_mode)) continue;
      other->scan_from_ = first;
      if (other == &start) return still_waits(start);
      other->scan_ = scan_generation;
      other->scan_waits_ = waits;
      other->scan_next_ = nullptr;
      last->scan_next_ = other;
      last = other;
    }
  }
  return false;
}

bool State::in_that_wait(const Context& context) {
  return context.waiting_.load(std::memory_order_acquire) != nullptr &&
         context.waits_.load(std::memory_order_relaxed) == context.scan_waits_;
}

bool State::still_waits(const Context& start) {
  for (const Context* at = start.scan_from_; at != &start; at = at->scan_from_) {
    if (!in_that_wait(*at)) return false;
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
    const Hold wanted = wants == nullptr ? Hold() : find_kept(*at, *wants);
    const Hold kept = holds == nullptr ? Hold() : find_kept(*at, *holds);
    if (wanted.owner != nullptr) edge.to = describe(*wanted.owner, wanted.index);
    if (kept.owner != nullptr) edge.from = describe(*kept.owner, kept.index);
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
      at->scan_waits_ = at->waits_.load(std::memory_order_acquire);
      const State::Hold wants = State::find_wanted(*at);
      const Instance* wanted = at->waiting_.load(std::memory_order_acquire);
      if (wants.owner == nullptr || wanted == nullptr) continue;
      if (!state.waits_in_circle(*at, *wanted, held::mode(wants.state))) continue;
      if (!State::in_that_wait(*at)) continue;
      ++stuck;
      state.emit_waits(*at);
    }
  }
  if (state.pending.load(std::memory_order_relaxed)) state.deliver_all();
  return stuck;
}

}  // namespace netfs::lockdep
