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

extern __thread Context* t_context;
Context* watched_slowly();

// This thread's context; null: what is done now is not watched (we are inside, it has ended).
inline Context* watched() {
  if (lockdep::t_inside != 0) return nullptr;
  if (__builtin_expect(t_context != nullptr, 1)) return t_context;
  return watched_slowly();
}

lockdep::Validator& validator();

}  // namespace netfs::lockdep_preload
