#pragma once
// Context: what a piece of work holds, wherever it runs.
//
// Held locks belong to a thread; what a *request* holds (a fault that waits for it, say) belongs to
// the request and goes with it from thread to thread.  Whoever works for an unanswered request
// adopts its context for that time, completion threads included.  The cache's write side refuses to
// be entered under a context that holds kFuseFault: this is how the founding rule is held at run
// time.  With NETFS_LOCKDEP the validator sees the same: what is taken meanwhile is taken under it.
//
// A context is a value of one pointer, copied freely and valid for ever.  Scopes nest: while an
// inner one lasts, whoever waits for the outer one still waits for this thread.
//
//   ContextScope scope(request.context());   // this thread now works for the request

#include "sync/lock_class.h"

#ifdef NETFS_LOCKDEP
#include <optional>

#include "lockdep/context.h"
#endif

namespace netfs::sync {

// A kernel request that waits for its answer; the asker may hold a memory map or a page lock.
inline constinit LockClass kFuseFault{"fuse.fault", lockdep::kMapRules};
// The write side of the cache's file system, as the kernel's sb_writers.
inline constinit LockClass kCacheSbWriters{"cache.sb_writers", lockdep::kMapRules};

class Context {
 public:
  Context() = default;
  explicit Context(const LockClass& held) : held_(&held) {}

  [[nodiscard]] bool holds(const LockClass& lock_class) const { return held_ == &lock_class; }

  // The context this thread has adopted last, or null.
  static const Context* current();

 private:
  friend class ContextScope;
  const LockClass* held_ = nullptr;  // null: nobody waits
};

// Adopts a context for a scope; the context outlives it.
class ContextScope {
 public:
  explicit ContextScope(const Context& context);
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  friend class Context;
  friend bool current_context_holds(const LockClass& lock_class);

  const Context& context_;
  const ContextScope* const outer_;
#ifdef NETFS_LOCKDEP
  std::optional<lockdep::Adopt> adopted_;
#endif
};

// Whether this thread works for somebody who waits under `lock_class`.
bool current_context_holds(const LockClass& lock_class);

// Takes a pseudo-lock for a scope: nothing is locked, but the validator orders it among the locks.
class PseudoLock {
 public:
  explicit PseudoLock(const LockClass& lock_class);
  ~PseudoLock();
  PseudoLock(const PseudoLock&) = delete;
  PseudoLock& operator=(const PseudoLock&) = delete;

 private:
  [[maybe_unused]] const LockClass& class_;
};

}  // namespace netfs::sync
