// The hot path: a lock is to be taken (lock_acquire).
//
// What is known costs one look into the set of chains: the key of the chain, with whoever does it
// (the first kContextsKept contexts that do it are learnt one by one, see learn.cc), or, once there
// were enough of those, without.

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

bool State::make_room(State& state, Context& context) {
  const size_t depth = context.depth();
  if (depth < context.capacity_) return true;
  const size_t capacity = size_t{context.capacity_} * 4;
  auto* larger = static_cast<HeldLock*>(state.context_arena.allocate(capacity * sizeof(HeldLock)));
  if (larger == nullptr) return false;
  HeldLock* old = context.held_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < depth; ++i) {
    larger[i].instance.store(old[i].instance.load(std::memory_order_relaxed),
                             std::memory_order_relaxed);
    larger[i].state.store(old[i].state.load(std::memory_order_relaxed), std::memory_order_relaxed);
    larger[i].previous_key = old[i].previous_key;
    larger[i].previous_mask = old[i].previous_mask;
    larger[i].ip = old[i].ip;
    larger[i].again = old[i].again;
    larger[i].pins = old[i].pins;
  }
  // A scan for circular waits may be reading the old ones; it holds `registry` meanwhile.
  const SpinGuard guard(state.registry);
  context.held_.store(larger, std::memory_order_release);
  if (old != context.inline_) {
    state.context_arena.release(old, context.capacity_ * sizeof(HeldLock));
  }
  context.capacity_ = static_cast<uint32_t>(capacity);
  return true;
}

void Validator::acquire(Context& context, const Instance& instance, const How& how, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  const uint64_t word = instance.key().cached_[how.subclass & 7].load(std::memory_order_relaxed);
  const uint64_t state = (word & 0xffffffff) | static_cast<uint64_t>(how.mode) << held::kModeShift |
                         static_cast<uint64_t>(how.attempt) << held::kAttemptShift;
  const uint64_t bit = held::mask_bit(word);
  const uint32_t depth = context.depth_.load(std::memory_order_relaxed);
  const bool plain = word >> 32 == epoch_.load(std::memory_order_relaxed) &&
                     (word & held::kSpecial) == 0 && (context.mask_ & bit) == 0 &&
                     context.adopted_ == nullptr && how.reentry == Reentry::kForbidden &&
                     how.nest == nullptr && depth < context.capacity_;
  if (__builtin_expect(plain, 1)) {
    const uint64_t key = mix(context.key_, state);
    const uint64_t probe = key ^ context.signals_salt_;
    if (__builtin_expect(chains_.contains(probe ^ context.seed_) || chains_.contains(probe), 1)) {
      HeldLock& held = context.held_.load(std::memory_order_relaxed)[depth];
      held.instance.store(&instance, std::memory_order_relaxed);
      held.state.store(state, std::memory_order_relaxed);
      held.previous_key = context.key_;
      held.previous_mask = context.mask_;
      held.ip = ip;
      held.again = 0;
      held.pins = 0;
      context.key_ = key;
      context.mask_ |= bit;
      context.depth_.store(depth + 1, std::memory_order_relaxed);
      context.acquires_.store(context.acquires_.load(std::memory_order_relaxed) + 1,
                              std::memory_order_relaxed);
      return;
    }
  }
  acquire_slowly(context, instance, how, ip);
}

uint64_t State::adopted_salt(const Context& context) {
  uint64_t salt = 0;
  if (context.handlers_ != 0) return salt;
  for (const Adopt* adopt = context.adopted_; adopt != nullptr; adopt = adopt->next_) {
    const Context& adopted = adopt->context_;
    if (adopted.key_ != kChainStart) {
      salt = mix(salt == 0 ? kAdoptedStart : salt, adopted.key_);
    }
  }
  return salt;
}

// Class, chain key and what stands for it.  Reports recursion, for that depends on the locks and
// not on the chain alone.
void State::prepare(Acquisition& a) {
  uint64_t word = 0;
  a.class_id = class_of(a.instance.key(), a.how.subclass & 7, &word);
  a.watched = (word & held::kWatched) != 0;
  a.state = held::pack(a.class_id, a.how.mode, a.how.attempt);
  if (a.sync) a.state |= held::kSync;
  if (a.class_id != 0) {
    uint64_t mask = a.context.mask_;
    for (const Adopt* adopt = a.context.adopted_; adopt != nullptr; adopt = adopt->next_) {
      mask |= adopt->context_.mask_;
    }
    const bool nest_missing = a.how.nest != nullptr && !nest_is_held(a);
    if (!nest_missing && (mask & held::mask_bit(a.state)) != 0 &&
        a.how.attempt == Attempt::kBlocking && check_same_class(a) == SameClass::kNested) {
      a.state |= held::kNested;
    }
  }
  a.key = mix(a.context.key_, a.state);
  a.probe = a.key ^ a.context.signals_salt_ ^ adopted_salt(a.context);
  a.own = a.probe ^ a.context.seed_;
  if (a.watched) {
    // Which locks exactly: of a circle that is not LIKELY yet, all that is new matters.
    uint64_t locks = mix(kLocksStart, reinterpret_cast<uintptr_t>(&a.instance));
    for_each_held(a.context, [&locks](const Context& owner, size_t index) {
      const Instance* held = owner.held_[index].instance.load(std::memory_order_relaxed);
      locks = mix(locks, reinterpret_cast<uintptr_t>(held));
      return true;
    });
    a.own ^= locks;
  }
}

bool State::known(const Acquisition& a) const {
  if (a.class_id == 0) return true;
  if (validator.chains_.contains(a.own)) return true;
  return !a.watched && validator.chains_.contains(a.probe);
}

void State::push(Acquisition& a) {
  Context& context = a.context;
  if (!make_room(*this, context)) {
    ++context.lost_;
    return;
  }
  const size_t depth = context.depth();
  HeldLock& held = context.held_[depth];
  held.instance.store(&a.instance, std::memory_order_relaxed);
  held.state.store(a.state, std::memory_order_relaxed);
  held.previous_key = context.key_;
  held.previous_mask = context.mask_;
  held.ip = a.ip;
  held.again = 0;
  held.pins = 0;
  if (a.class_id != 0) {
    context.key_ = a.key;
    context.mask_ |= held::mask_bit(a.state);
  }
  context.depth_.store(static_cast<uint32_t>(depth + 1), std::memory_order_relaxed);
}

void Validator::acquire_slowly(Context& context, const Instance& instance, const How& how,
                               uintptr_t ip) {
  State& state = this->state();
  if (how.reentry == Reentry::kAllowed) {
    const size_t at = State::find_held(context, instance);
    if (at != 0) {
      ++context.held_[at - 1].again;
      return;
    }
  }
  Acquisition a{.context = context, .instance = instance, .how = how, .ip = ip};
  state.prepare(a);
  if (!state.known(a)) state.learn(a);
  state.push(a);
  context.acquires_.store(context.acquires_.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
  state.deliver_from(context);
}

void Validator::sync(Context& context, const Instance& instance, const How& how, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  State& state = this->state();
  Acquisition a{.context = context, .instance = instance, .how = how, .ip = ip, .sync = true};
  state.prepare(a);
  if (!state.known(a)) state.learn(a);
  state.deliver_from(context);
}

void Validator::contended(Context& context, const Instance& instance) {
  const Inside inside;
  if (!inside) return;
  context.waits_.store(context.waits_.load(std::memory_order_relaxed) + 1,
                       std::memory_order_relaxed);
  context.waiting_.store(&instance, std::memory_order_release);
}

void Validator::acquired(Context& context, const Instance&) {
  const Inside inside;
  if (inside) context.waiting_.store(nullptr, std::memory_order_release);
}

}  // namespace netfs::lockdep
