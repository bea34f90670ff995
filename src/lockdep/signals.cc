// A signal handler begins and ends; signals are blocked and unblocked.
//
// A handler's chain begins anew, at a marker in the held stack: what it takes is not taken under
// what the interrupted code holds, in the sense of an order (it could have come at any time).

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

uint64_t signal_bit(int signal) {
  return uint64_t{1} << ((signal - 1) & 63);
}

}  // namespace

// The signal state is part of what is known: the same chain with others blocked is another.
void State::salt_signals(Context& context) {
  context.signals_salt_ = (context.blocked_ | context.handling_) == 0
                              ? 0
                              : mix(mix(kSignalStart, context.blocked_), context.handling_);
}

void Validator::signal_enter(Context& context, int signal) {
  const Inside inside;
  if (!inside) return;
  State& state = this->state();
  if (!State::make_room(state, context)) {
    ++context.lost_;
    return;
  }
  HeldLock& marker = context.held_[context.depth()];
  marker.instance.store(nullptr, std::memory_order_relaxed);
  marker.state.store(held::kHandler | static_cast<uint64_t>(signal), std::memory_order_relaxed);
  marker.previous_key = context.key_;
  marker.previous_mask = context.mask_;
  marker.ip = context.blocked_;
  marker.again = 0;
  marker.pins = 0;
  context.key_ = kChainStart;
  context.mask_ = 0;
  context.depth_.store(static_cast<uint32_t>(context.depth() + 1), std::memory_order_relaxed);
  ++context.handlers_;
  context.handling_ |= signal_bit(signal);
  context.blocked_ |= signal_bit(signal);
  State::salt_signals(context);
}

void Validator::signal_leave(Context& context, int signal) {
  const Inside inside;
  if (!inside) return;
  if (context.handlers_ == 0) return;
  State& state = this->state();
  size_t at = context.depth();
  const auto word = [&context](size_t index) {
    return context.held_[index].state.load(std::memory_order_relaxed);
  };
  while ((word(at - 1) & held::kHandler) == 0) --at;
  if (at != context.depth()) {
    state.report_ends(context, "the end of a signal handler",
                      reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
  }
  const HeldLock& marker = context.held_[at - 1];
  context.key_ = marker.previous_key;
  context.mask_ = marker.previous_mask;
  context.blocked_ = marker.ip;
  context.depth_.store(static_cast<uint32_t>(at - 1), std::memory_order_relaxed);
  --context.handlers_;
  context.handling_ &= ~signal_bit(signal);
  for (size_t i = 0; i < context.depth(); ++i) {  // an outer handler of the same signal goes on
    if ((word(i) & held::kHandler) != 0) {
      context.handling_ |= signal_bit(static_cast<int>(held::class_id(word(i))));
    }
  }
  State::salt_signals(context);
  state.deliver_from(context);
}

void Validator::set_blocked_signals(Context& context, uint64_t mask, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  State& state = this->state();
  const uint64_t unblocked = context.blocked_ & ~mask;
  context.blocked_ = mask;
  State::salt_signals(context);
  if (unblocked == 0 || context.depth() == 0) return;
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  state.capture(ip, frames, &count);
  {
    const SpinGuard guard(state.lock);
    const uint32_t stack = state.learnt.stacks.intern(state.arena, frames, count);
    State::for_each_held(context, [&](const Context& owner, size_t index) {
      const HeldLock& held = owner.held_[index];
      const uint64_t word = held.state.load(std::memory_order_relaxed);
      if (&owner != &context || held::class_id(word) == 0) return true;
      state.mark_held({.context = context,
                       .class_id = held::class_id(word),
                       .instance = held.instance.load(std::memory_order_relaxed),
                       .mode = held::mode(word),
                       .ip = ip,
                       .stack = stack},
                      unblocked);
      return true;
    });
  }
  state.deliver_from(context);
}

}  // namespace netfs::lockdep
