#include "sync/context.h"

#ifdef NETFS_LOCKDEP
#include "sync/standing_lock.h"
#endif

namespace netfs::sync {

namespace {
thread_local constinit const ContextScope* innermost = nullptr;
}  // namespace

const Context* Context::current() {
  return innermost == nullptr ? nullptr : &innermost->context_;
}

ContextScope::ContextScope(const Context& context) : context_(context), outer_(innermost) {
  innermost = this;
#ifdef NETFS_LOCKDEP
  if (context.held_ != nullptr) {
    adopted_.emplace(lockdep::this_context(), standing_lock(*context.held_).holder);
  }
#endif
}

ContextScope::~ContextScope() {
  innermost = outer_;
}

bool current_context_holds(const LockClass& lock_class) {
  for (const ContextScope* scope = innermost; scope != nullptr; scope = scope->outer_) {
    if (scope->context_.holds(lock_class)) return true;
  }
  return false;
}

#ifdef NETFS_LOCKDEP

[[gnu::noinline]] PseudoLock::PseudoLock(const LockClass& lock_class) : class_(lock_class) {
  lockdep::acquire(standing_lock(class_).map, {.mode = lockdep::Mode::kRead}, LOCKDEP_CALLER);
}
[[gnu::noinline]] PseudoLock::~PseudoLock() {
  lockdep::release(standing_lock(class_).map, LOCKDEP_CALLER);
}

#else

PseudoLock::PseudoLock(const LockClass& lock_class) : class_(lock_class) {}
PseudoLock::~PseudoLock() = default;

#endif

}  // namespace netfs::sync
