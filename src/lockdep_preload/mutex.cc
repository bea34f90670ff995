// pthread_mutex_*: all types.  What the type says is read from the mutex itself, so that static
// initialisers count.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

constexpr int kTypeMask = 3;

// A recursive mutex may be taken again, and one that checks says EDEADLK: neither hangs.
Reentry reentry(const pthread_mutex_t* mutex) {
  const int type = mutex->__data.__kind & kTypeMask;
  return type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK ? Reentry::kAllowed
                                                                             : Reentry::kForbidden;
}

constexpr int kRobust = 16;
bool is_robust(const pthread_mutex_t* mutex) {
  return (mutex->__data.__kind & kRobust) != 0;
}

// glibc's try leaves a robust mutex that nobody can recover locked behind its back; who waits for
// it, as the program does, is told ENOTRECOVERABLE every time.
int try_lock(pthread_mutex_t* mutex) {
  if (!is_robust(mutex)) return real().pthread_mutex_trylock(mutex);
  const timespec past{};
  return real().pthread_mutex_timedlock(mutex, &past);
}

// A robust mutex whose owner died is held by who is told so.
bool held(int result) {
  return result == 0 || result == EOWNERDEAD;
}

template <class Wait>
int lock(Context& context, pthread_mutex_t* mutex, Attempt attempt, uintptr_t ip, Wait wait) {
  Record* record = record_at(mutex, Kind::kMutex, ip);
  acquire(context, record, {.attempt = attempt, .reentry = reentry(mutex)}, ip);
  return take(
      context, record, ip, [mutex] { return try_lock(mutex); }, wait, held);
}

}  // namespace

LOCKDEP_HOOK int pthread_mutex_init(pthread_mutex_t* mutex, const pthread_mutexattr_t* attributes) {
  Context* context = watched();
  if (context != nullptr) lock_made(*context, mutex, Kind::kMutex, LOCKDEP_CALLER_IP);
  return real().pthread_mutex_init(mutex, attributes);
}

LOCKDEP_HOOK int pthread_mutex_destroy(pthread_mutex_t* mutex) {
  Context* context = watched();
  if (context != nullptr) lock_destroyed(*context, mutex, LOCKDEP_CALLER_IP);
  return real().pthread_mutex_destroy(mutex);
}

LOCKDEP_HOOK int pthread_mutex_lock(pthread_mutex_t* mutex) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_mutex_lock(mutex);
  return lock(*context, mutex, Attempt::kBlocking, LOCKDEP_CALLER_IP,
              [mutex] { return real().pthread_mutex_lock(mutex); });
}

LOCKDEP_HOOK int pthread_mutex_timedlock(pthread_mutex_t* mutex, const timespec* until) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_mutex_timedlock(mutex, until);
  return lock(*context, mutex, Attempt::kTimed, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_mutex_timedlock(mutex, until); });
}

LOCKDEP_HOOK int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock,
                                         const timespec* until) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_mutex_clocklock(mutex, clock, until);
  return lock(*context, mutex, Attempt::kTimed, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_mutex_clocklock(mutex, clock, until); });
}

LOCKDEP_HOOK int pthread_mutex_trylock(pthread_mutex_t* mutex) {
  Context* context = watched();
  const int result = real().pthread_mutex_trylock(mutex);
  if (context == nullptr || !held(result)) return result;
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  acquire(*context, record_at(mutex, Kind::kMutex, ip),
          {.attempt = Attempt::kTry, .reentry = reentry(mutex)}, ip);
  return result;
}

namespace {

// Whether the real unlock looks whether its caller has it.
bool is_checked(const pthread_mutex_t* mutex) {
  return reentry(mutex) == Reentry::kAllowed || is_robust(mutex);
}

}  // namespace

// Before the real one: once it is free, another thread may destroy it.
LOCKDEP_HOOK int pthread_mutex_unlock(pthread_mutex_t* mutex) {
  Context* context = watched();
  if (context != nullptr) {
    const uintptr_t ip = LOCKDEP_CALLER_IP;
    Record* record = record_held_at(*context, mutex, Kind::kMutex, ip);
    if (!release(*context, record, ip) && !is_checked(mutex)) {
      taken_from(*record, mutex->__data.__owner);
    }
  }
  return real().pthread_mutex_unlock(mutex);
}

}  // namespace netfs::lockdep_preload
