// A lock is given up, in any order; and what is like it (lock_release, lock_downgrade).

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

size_t State::held_count(const Context& context) {
  size_t count = 0;
  for_each_held(context, [&count](const Context&, size_t) {
    ++count;
    return true;
  });
  return count;
}

size_t State::find_held(const Context& context, const Instance& instance) {
  const HeldLock* held = context.held_.load(std::memory_order_relaxed);
  for (size_t i = context.depth(); i > 0; --i) {
    if (held[i - 1].instance.load(std::memory_order_acquire) == &instance) return i;
  }
  return 0;
}

// Makes the chain keys anew from the entry at `index` on, as if all had been taken in this order.
void State::rebuild(Context& context, size_t index) {
  HeldLock* held = context.held_.load(std::memory_order_relaxed);
  uint64_t key = held[index].previous_key;
  uint64_t mask = held[index].previous_mask;
  for (size_t i = index; i < context.depth(); ++i) {
    held[i].previous_key = key;
    held[i].previous_mask = mask;
    const uint64_t state = held[i].state.load(std::memory_order_relaxed);
    if ((state & held::kHandler) != 0) {
      key = kChainStart;
      mask = 0;
    } else if (held::class_id(state) != 0) {
      key = mix(key, state);
      mask |= held::mask_bit(state);
    }
  }
  context.key_ = key;
  context.mask_ = mask;
}

void State::remove(Context& context, size_t index) {
  HeldLock* held = context.held_.load(std::memory_order_relaxed);
  const size_t depth = context.depth() - 1;
  const uint64_t key = held[index].previous_key;
  const uint64_t mask = held[index].previous_mask;
  for (size_t i = index; i < depth; ++i) {
    HeldLock& to = held[i];
    HeldLock& from = held[i + 1];
    to.instance.store(from.instance.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.state.store(from.state.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.ip = from.ip;
    to.again = from.again;
    to.pins = from.pins;
  }
  held[index].previous_key = key;
  held[index].previous_mask = mask;
  context.depth_.store(static_cast<uint32_t>(depth), std::memory_order_relaxed);
  rebuild(context, index);
}

bool Validator::release(Context& context, const Instance& instance, uintptr_t ip) {
  const Inside inside;
  if (!inside) return true;
  const uint32_t depth = context.depth_.load(std::memory_order_relaxed);
  if (__builtin_expect(depth != 0, 1)) {
    const HeldLock& top = context.held_.load(std::memory_order_relaxed)[depth - 1];
    if (__builtin_expect(top.instance.load(std::memory_order_relaxed) == &instance &&
                             (top.again | top.pins) == 0,
                         1)) {
      context.key_ = top.previous_key;
      context.mask_ = top.previous_mask;
      context.depth_.store(depth - 1, std::memory_order_relaxed);
      return true;
    }
  }
  return release_slowly(context, instance, ip);
}

bool Validator::release_slowly(Context& context, const Instance& instance, uintptr_t ip) {
  State& state = this->state();
  const size_t at = State::find_held(context, instance);
  if (at == 0) {
    if (context.lost_ != 0) {
      --context.lost_;
      return true;
    }
    state.report_bad_unlock(context, instance, ip);
    state.deliver_from(context);
    return false;
  }
  HeldLock& held = context.held_[at - 1];
  if (held.again != 0) {
    --held.again;
    return true;
  }
  if (held.pins != 0) {
    state.report_claim(context, instance, ip, "a pinned lock is released");
    state.deliver_from(context);
  }
  State::remove(context, at - 1);
  return true;
}

void Validator::acquire_failed(Context& context, const Instance& instance, uintptr_t ip) {
  acquired(context, instance);
  release(context, instance, ip);
}

void Validator::downgrade(Context& context, const Instance& instance, Mode mode, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  State& state = this->state();
  const size_t at = State::find_held(context, instance);
  if (at == 0) {
    state.report_bad_unlock(context, instance, ip);
    state.deliver_from(context);
    return;
  }
  std::atomic<uint64_t>& word = context.held_[at - 1].state;
  const uint64_t other = word.load(std::memory_order_relaxed) & ~(uint64_t{3} << held::kModeShift);
  word.store(other | static_cast<uint64_t>(mode) << held::kModeShift, std::memory_order_relaxed);
  State::rebuild(context, at - 1);
}

void Validator::wait_begins(Context& context, const Instance& mutex, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  State& state = this->state();
  const size_t at = State::find_held(context, mutex);
  if (at == 0) {
    state.report_bad_unlock(context, mutex, ip);
    state.deliver_from(context);
    return;
  }
  const uint64_t word = context.held_[at - 1].state.load(std::memory_order_relaxed);
  context.wait_mode_ = held::mode(word);
  context.wait_subclass_ = 0;
  for (uint8_t i = 0; i < ClassKey::kSubclasses; ++i) {
    const uint64_t cached = mutex.key().cached_[i].load(std::memory_order_relaxed);
    if (cached >> 32 == epoch_.load(std::memory_order_relaxed) &&
        held::class_id(cached) == held::class_id(word)) {
      context.wait_subclass_ = i;
      break;
    }
  }
  State::remove(context, at - 1);
  const How how{.mode = context.wait_mode_, .subclass = context.wait_subclass_};
  Acquisition a{.context = context, .instance = mutex, .how = how, .ip = ip};
  state.prepare(a);
  if (!state.known(a)) state.learn(a);
  state.deliver_from(context);
}

void Validator::wait_ends(Context& context, const Instance& mutex, uintptr_t ip) {
  const How how{.mode = context.wait_mode_, .subclass = context.wait_subclass_};
  acquire(context, mutex, how, ip);
}

void State::report_bad_unlock(Context& context, const Instance& instance, uintptr_t ip) {
  uint64_t word = 0;
  const uint32_t id = class_of(instance.key(), 0, &word);
  if ((word & held::kUnvalidated) != 0) return;
  uintptr_t frames[StackDepot::kFramesMax];
  size_t count = 0;
  capture(ip, frames, &count);
  const SpinGuard guard(lock);
  if (!first_time(ReportKind::kBadUnlock, record(id).serial, 0, Verdict::kProved)) return;
  Finding* finding = begin(ReportKind::kBadUnlock, Verdict::kProved, &context);
  if (finding == nullptr) return;
  finding->reason << "the context does not hold it";
  finding->stack = learnt.stacks.intern(arena, frames, count);
  finding->taking = describe(id, instance, How(), ip, finding->stack);
  add(finding);
}

}  // namespace netfs::lockdep
