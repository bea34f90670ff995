// For those who guess which locks are one class: what a context holds, and another class for a lock
// that is in use already.

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

size_t Validator::held(const Context& context, const Instance** out, size_t max) {
  const HeldLock* held = context.held_.load(std::memory_order_relaxed);
  size_t count = 0;
  for (size_t i = context.depth(); i > 0 && count < max; --i) {
    const Instance* instance = held[i - 1].instance.load(std::memory_order_relaxed);
    if (instance != nullptr) out[count++] = instance;
  }
  return count;
}

const Instance* Validator::held_other(const Context& context, const ClassKey& key,
                                      const Instance& instance) {
  const HeldLock* held = context.held_.load(std::memory_order_relaxed);
  for (size_t i = context.depth(); i > 0; --i) {
    const Instance* other = held[i - 1].instance.load(std::memory_order_relaxed);
    if (other == nullptr || other == &instance) continue;
    if (&other->key() == &key) return other;
  }
  return nullptr;
}

void Validator::reclassify(Context& context, const Instance& instance, const ClassKey& key) {
  const Inside inside;
  if (!inside) return;
  State& state = this->state();
  instance.key_.store(&key, std::memory_order_relaxed);
  uint64_t word = 0;
  const uint32_t id = state.class_of(key, 0, &word);
  HeldLock* held = context.held_.load(std::memory_order_relaxed);
  size_t lowest = context.depth();
  for (size_t i = 0; i < context.depth(); ++i) {
    if (!State::is_at(context, i, instance)) continue;
    const uint64_t old = held[i].state.load(std::memory_order_relaxed);
    held[i].state.store((old & ~held::kClassMask) | id, std::memory_order_relaxed);
    lowest = std::min(lowest, i);
  }
  if (lowest < context.depth()) State::rebuild(context, lowest);
}

void Validator::lock_freed(Context& context, const Instance& instance, const void* from,
                           const void* to, uintptr_t ip) {
  const Inside inside;
  if (!inside) return;
  const size_t at = State::find_held(context, instance);
  if (at == 0) return;
  state().report_freed(context, at - 1, reinterpret_cast<uintptr_t>(from),
                       reinterpret_cast<uintptr_t>(to), ip, "its memory is freed");
  state().deliver_from(context);
}

}  // namespace netfs::lockdep
