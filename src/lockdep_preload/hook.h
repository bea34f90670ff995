#pragma once
// What every interposed function begins with.
//
//   LOCKDEP_HOOK int pthread_spin_lock(pthread_spinlock_t* lock) {
//     Context* context = watched();
//     if (context == nullptr) return real().pthread_spin_lock(lock);
//     ...
//
// No hook allocates from the heap, waits for another thread but where the real function would, or
// changes errno.  All run with the caller's locks held, in signal handlers too.

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "lockdep/inside.h"
#include "lockdep/validator.h"

#define LOCKDEP_HOOK extern "C" __attribute__((visibility("default")))
#define LOCKDEP_CALLER_IP reinterpret_cast<uintptr_t>(__builtin_return_address(0))

namespace netfs::lockdep_preload {

using lockdep::Attempt;
using lockdep::Context;
using lockdep::How;
using lockdep::Inside;
using lockdep::Mode;
using lockdep::Reentry;

// Keeps errno as it was for whoever called us.
class KeepErrno {
 public:
  KeepErrno() : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;

 private:
  int saved_;
};

enum class Stage : uint8_t { kNone, kBeginning, kWatching, kEnded };
extern std::atomic<Stage> g_stage;

// The thread's context.  Another thread makes it null (call_attention) to have this one look up
// before its next event.
extern __thread Context* t_context;
Context* watched_slowly();

// This thread's context; null: what is done now is not watched (we are inside, it has ended).
inline Context* watched() {
  if (lockdep::t_inside != 0) return nullptr;
  Context* context = __atomic_load_n(&t_context, __ATOMIC_RELAXED);
  if (__builtin_expect(context != nullptr, 1)) return context;
  return watched_slowly();
}

// As watched(), but null as well for a thread that has no context yet: for signal handlers.
Context* watched_if_known();

// Built before any code runs; never destroyed, for static destructors still lock.
template <class T>
union Forever {
  T it;
  constexpr Forever() : it() {}
  ~Forever() {}
};
extern Forever<lockdep::Validator> g_validator;

inline lockdep::Validator& validator() {
  return g_validator.it;
}

}  // namespace netfs::lockdep_preload
