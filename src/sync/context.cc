#include "sync/context.h"

namespace netfs::sync {

namespace {
thread_local const Context* current_context = nullptr;
}  // namespace

const Context* Context::current() {
  return current_context;
}

ContextScope::ContextScope(const Context& context) : previous_(current_context) {
  current_context = &context;
}

ContextScope::~ContextScope() {
  current_context = previous_;
}

bool current_context_holds(const LockClass& lock_class) {
  return current_context != nullptr && current_context->holds(lock_class);
}

}  // namespace netfs::sync
