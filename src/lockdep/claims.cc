// Claims about what is held, and moments when nothing may be (lockdep_assert_held, lock_pin_lock,
// debug_check_no_locks_freed, debug_check_no_locks_held).

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

bool holds(const Context& context, const Instance& instance) {
  bool found = false;
  State::for_each_held(context, [&](const Context& owner, size_t index) {
    found = State::is_at(owner, index, instance);
    return !found;
  });
  return found;
}

}  // namespace

bool State::is_at(const Context& context, size_t index, const Instance& instance) {
  return context.held_[index].instance.load(std::memory_order_relaxed) == &instance;
}

void State::report_claim(Context& context, const Instance& instance, uintptr_t ip,
                         const char* claim) {
  uint64_t word = 0;
  const uint32_t id = class_of(instance.key(), 0, &word);
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(ip, frames, &count);
  const SpinGuard guard(lock);
  const uint64_t serial = id == 0 ? 0 : record(id).serial;
  if (!first_time(ReportKind::kAssertion, serial, ip, Verdict::kProved)) return;
  Finding* finding = begin(ReportKind::kAssertion, Verdict::kProved, &context);
  if (finding == nullptr) return;
  finding->reason << "a claim in the program is not true";
  finding->message << claim;
  finding->stack = learnt.stacks.intern(arena, frames, count);
  finding->taking = describe(id, instance, How(), ip, finding->stack);
  add(finding);
}

bool Validator::assert_held(Context& context, const Instance& instance, uintptr_t ip) {
  const Inside inside;
  if (!inside || holds(context, instance)) return true;
  state().report_claim(context, instance, ip, "it should be held and is not");
  state().deliver_from(context);
  return false;
}

bool Validator::assert_not_held(Context& context, const Instance& instance, uintptr_t ip) {
  const Inside inside;
  if (!inside || !holds(context, instance)) return true;
  state().report_claim(context, instance, ip, "it should not be held and is");
  state().deliver_from(context);
  return false;
}

Pin Validator::pin(Context& context, const Instance& instance, uintptr_t ip) {
  const Inside inside;
  if (!inside) return {};
  const size_t at = State::find_held(context, instance);
  if (at != 0) {
    ++context.held_[at - 1].pins;
    return {.instance = &instance};
  }
  state().report_claim(context, instance, ip, "it is pinned and not held");
  state().deliver_from(context);
  return {};
}

void Validator::unpin(Context& context, const Pin& pin, uintptr_t ip) {
  const Inside inside;
  if (!inside || pin.instance == nullptr) return;
  const size_t at = State::find_held(context, *pin.instance);
  if (at != 0 && context.held_[at - 1].pins != 0) {
    --context.held_[at - 1].pins;
    return;
  }
  state().report_claim(context, *pin.instance, ip, "it is unpinned and was not pinned");
  state().deliver_from(context);
}

// Reports the lock at `index`, whose memory [from, to) is given up, and forgets that it is held.
void State::report_freed(Context& context, size_t index, uintptr_t from, uintptr_t to, uintptr_t ip,
                         const char* how) {
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(ip, frames, &count);
  {
    const SpinGuard guard(lock);
    const uint64_t state = context.held_[index].state.load(std::memory_order_relaxed);
    const uint32_t id = held::class_id(state);
    const uint64_t serial = id == 0 ? 0 : record(id).serial;
    if (first_time(ReportKind::kHeldLockFreed, serial, 0, Verdict::kProved)) {
      if (Finding* finding = begin(ReportKind::kHeldLockFreed, Verdict::kProved, &context)) {
        finding->reason << how;
        finding->stack = learnt.stacks.intern(arena, frames, count);
        finding->taking = describe(context, index);
        finding->freed_from = from;
        finding->freed_to = to;
        add(finding);
      }
    }
  }
  remove(context, index);
}

void Validator::memory_freed(Context& context, const void* from, const void* to, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  const auto begin = reinterpret_cast<uintptr_t>(from);
  const auto end = reinterpret_cast<uintptr_t>(to);
  State::forget_orphans(state_.load(std::memory_order_acquire), begin, end);
  if (context.depth() == 0) return;
  for (size_t i = context.depth(); i > 0; --i) {
    const auto address =
        reinterpret_cast<uintptr_t>(context.held_[i - 1].instance.load(std::memory_order_relaxed));
    if (address == 0 || address < begin || address >= end) continue;
    state().report_freed(context, i - 1, begin, end, ip, "its memory is freed");
  }
  state().deliver_from(context);
}

void Validator::destroy(Context& context, const Instance& instance, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  const auto address = reinterpret_cast<uintptr_t>(&instance);
  State::forget_orphans(state_.load(std::memory_order_acquire), address, address + sizeof instance);
  if (context.depth() == 0) return;
  const size_t at = State::find_held(context, instance);
  if (at == 0) return;
  state().report_freed(context, at - 1, address, address + sizeof instance, ip, "it is destroyed");
  state().deliver_from(context);
}

void Validator::init(Context& context, const Instance& instance, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  const auto address = reinterpret_cast<uintptr_t>(&instance);
  State::forget_orphans(state_.load(std::memory_order_acquire), address, address + sizeof instance);
  if (context.depth() == 0) return;
  const size_t at = State::find_held(context, instance);
  if (at == 0) return;
  state().report_freed(context, at - 1, address, address + sizeof instance, ip, "it is made anew");
  state().deliver_from(context);
}

void State::report_ends(Context& context, const char* boundary, uintptr_t ip) {
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(ip, frames, &count);
  const SpinGuard guard(lock);
  size_t innermost = context.depth();
  const auto is_marker = [&context](size_t index) {  // of a handler
    return (context.held_[index].state.load(std::memory_order_relaxed) & held::kHandler) != 0;
  };
  while (innermost > 0 && is_marker(innermost - 1)) --innermost;
  if (innermost == 0) return;
  --innermost;
  const uint32_t id =
      held::class_id(context.held_[innermost].state.load(std::memory_order_relaxed));
  uint64_t where = 0;
  for (const char* at = boundary; *at != '\0'; ++at) {
    where = mix(where, static_cast<unsigned char>(*at));
  }
  const uint64_t serial = id == 0 ? 0 : record(id).serial;
  if (!first_time(ReportKind::kHeldAtExit, serial, where, Verdict::kProved)) return;
  Finding* finding = begin(ReportKind::kHeldAtExit, Verdict::kProved, &context);
  if (finding == nullptr) return;
  finding->reason << "nobody is left to release it";
  finding->message << boundary;
  finding->stack = learnt.stacks.intern(arena, frames, count);
  finding->taking = describe(context, innermost);
  add(finding);
}

void Validator::ends(Context& context, const char* boundary, uintptr_t ip) {
  const Inside inside;
  if (!inside || context.depth() == 0) return;
  state().report_ends(context, boundary, ip);
  state().deliver_from(context);
}

}  // namespace netfs::lockdep
