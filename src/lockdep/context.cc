#include "lockdep/context.h"

#include <cstring>

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

Context::Context(Validator& validator, const char* name, ContextKind kind, uint64_t id)
    : held_(nullptr), key_(kChainStart), kind_(kind), validator_(validator), id_(id) {
  held_.store(inline_, std::memory_order_relaxed);
  std::strncpy(name_, name, kNameBytes - 1);
  const Inside inside;
  validator.state().enlist(*this);
}

Context::~Context() {
  validator_.ends(*this, "its end", reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
  const Inside inside;
  State& state = validator_.state();
  state.delist(*this);
  if (held_.load(std::memory_order_relaxed) != inline_) {
    state.context_arena.release(held_, capacity_ * sizeof(HeldLock));
  }
}

bool Context::holds(const ClassKey& key) const {
  bool found = false;
  State::for_each_held(*this, [&](const Context& owner, size_t index) {
    const Instance* instance = owner.held_[index].instance.load(std::memory_order_relaxed);
    found = &instance->key() == &key;
    return !found;
  });
  return found;
}

Adopt::Adopt(Context* adopter, const Context& adopted, Outer outer)
    : adopter_(adopter),
      context_(adopted),
      before_(adopter == nullptr ? nullptr : adopter->adopted_),
      next_(outer == Outer::kHidden ? nullptr : before_) {
  if (adopter != nullptr) adopter->adopted_ = this;
}

Adopt::~Adopt() {
  if (adopter_ != nullptr) adopter_->adopted_ = before_;
}

}  // namespace netfs::lockdep
