#pragma once
// Context: what a piece of work holds, wherever it runs.
//
// Held locks belong to a thread; what a *request* holds (a fault that waits for it, say) belongs to
// the request and goes with it from thread to thread.  Whoever works for an unanswered request
// adopts its context for that time, completion threads included.  The cache's write side refuses to
// be entered under a context that holds kFuseFault: this is how the founding rule is held at run
// time.  The validator reads the same contexts.
//
// Thread-safety: a context is adopted by one thread at a time or by several that only read it;
// hold() is called before the first adoption.
//
//   ContextScope scope(request.context());   // this thread now works for the request

#include <array>
#include <cstddef>

#include "base/assert.h"
#include "sync/lock_class.h"

namespace netfs::sync {

// A kernel request that waits for its answer; the asker may hold a memory map or a page lock.
inline constinit LockClass kFuseFault{"fuse.fault"};
// The write side of the cache's file system, as the kernel's sb_writers.
inline constinit LockClass kCacheSbWriters{"cache.sb_writers"};

class Context {
 public:
  Context() = default;
  explicit Context(const LockClass& held) { hold(held); }

  void hold(const LockClass& lock_class) {
    NETFS_ASSERT(count_ < held_.size());
    held_[count_++] = &lock_class;
  }
  [[nodiscard]] bool holds(const LockClass& lock_class) const {
    for (size_t i = 0; i < count_; ++i) {
      if (held_[i] == &lock_class) return true;
    }
    return false;
  }

  // The context this thread has adopted, or null.
  static const Context* current();

 private:
  friend class ContextScope;
  std::array<const LockClass*, 4> held_{};
  size_t count_ = 0;
};

// Adopts a context for a scope; the one before comes back at its end.  Scopes nest.
class ContextScope {
 public:
  explicit ContextScope(const Context& context);
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  const Context* previous_;
};

// Whether this thread works for somebody who waits under `lock_class`.
bool current_context_holds(const LockClass& lock_class);

}  // namespace netfs::sync
