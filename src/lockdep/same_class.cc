// Locks of one class under each other (the kernel's check_deadlock), looked at each time: whether
// it is allowed depends on the locks, not on the chain of classes alone.

#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

// What the class's rule says of `first` held and `second` taken.
enum class Ordered : uint8_t { kNoRule, kRight, kWrong };

Ordered ordered(const ClassKey::Rules& rules, const Instance* first, const Instance* second,
                int* result) {
  if (rules.order == Order::kNone) return Ordered::kNoRule;
  if (first == second) return Ordered::kWrong;
  if (rules.order == Order::kByAddress) {
    return std::less<>()(first, second) ? Ordered::kRight : Ordered::kWrong;
  }
  *result = rules.compare(first, second);
  return *result < 0 ? Ordered::kRight : Ordered::kWrong;
}

}  // namespace

bool State::nest_is_held(const Acquisition& a) {
  bool found = false;
  for_each_held(a.context, [&](const Context& owner, size_t index) {
    const Instance* held = owner.held_[index].instance.load(std::memory_order_relaxed);
    found = held == a.how.nest;
    return !found;
  });
  if (found) return true;
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(a.ip, frames, &count);
  const SpinGuard guard(lock);
  if (first_time(ReportKind::kNestedNotTaken, record(a.class_id).serial, 0, Verdict::kProved)) {
    if (Finding* finding = begin(ReportKind::kNestedNotTaken, Verdict::kProved, &a.context)) {
      finding->reason << "the lock under which these are taken is not held";
      finding->stack = learnt.stacks.intern(arena, frames, count);
      finding->taking = describe(a.class_id, a.instance, a.how, a.ip, finding->stack);
      const uint32_t nest = class_of_locked(a.how.nest->key(), 0);
      if (nest != 0) finding->holding = describe(nest, *a.how.nest, How(), 0, 0);
      add(finding);
    }
  }
  return false;
}

SameClass State::check_same_class(const Acquisition& a) {
  const Context* guilty_owner = nullptr;
  const HeldLock* guilty = nullptr;
  int compared = 0;
  bool has_compared = false;
  bool same_lock = false;
  for_each_held(a.context, [&](const Context& owner, size_t index) {
    const HeldLock& held = owner.held_[index];
    const uint64_t state = held.state.load(std::memory_order_relaxed);
    if (held::class_id(state) != a.class_id) return true;
    if (a.how.mode == Mode::kRecursiveRead && held::mode(state) != Mode::kWrite) return true;
    const Instance* instance = held.instance.load(std::memory_order_relaxed);
    int result = 0;
    if (ordered(a.instance.key().rules(), instance, &a.instance, &result) == Ordered::kRight) {
      return true;
    }
    if (guilty != nullptr && instance != &a.instance) return true;  // the first, or the very same
    guilty = &held;
    guilty_owner = &owner;
    compared = result;
    has_compared = a.instance.key().rules().order == Order::kCompare && instance != &a.instance;
    same_lock = instance == &a.instance;
    return !same_lock;
  });
  if (guilty == nullptr) return SameClass::kFine;
  if (a.how.nest != nullptr && !same_lock) return SameClass::kNested;
  report_recursion(a, *guilty_owner, *guilty, has_compared ? &compared : nullptr);
  return SameClass::kFine;
}

void State::report_recursion(const Acquisition& a, const Context& owner, const HeldLock& held,
                             const int* compared) {
  const bool same = held.instance.load(std::memory_order_relaxed) == &a.instance;
  const Mode held_mode = held::mode(held.state.load(std::memory_order_relaxed));
  const bool waits = a.how.mode == Mode::kWrite || held_mode == Mode::kWrite;
  const bool guessed = !same && validator.options_.match == Validator::Match::kExact;
  const Verdict verdict = same && waits ? Verdict::kProved
                          : guessed     ? Verdict::kOrderOnly
                                        : Verdict::kLikely;
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(a.ip, frames, &count);
  const SpinGuard guard(lock);
  if (!first_time(ReportKind::kRecursive, record(a.class_id).serial, 0, verdict)) return;
  Finding* finding = begin(ReportKind::kRecursive, verdict, &a.context);
  if (finding == nullptr) return;
  if (verdict == Verdict::kProved) {
    finding->reason << "the context waits for itself";
  } else if (same) {
    finding->reason << "a writer that waits in between stops both";
  } else if (guessed) {
    finding->reason << "class only: two locks of one class, and no rule that orders them";
  } else {
    finding->reason << "two locks of one class, and no rule that orders them";
  }
  finding->stack = learnt.stacks.intern(arena, frames, count);
  finding->taking = describe(a.class_id, a.instance, a.how, a.ip, finding->stack);
  finding->holding = describe(owner, static_cast<size_t>(&held - owner.held_));
  if (compared != nullptr) {
    finding->compared = true;
    finding->compare_result = *compared;
  }
  add(finding);
}

}  // namespace netfs::lockdep
