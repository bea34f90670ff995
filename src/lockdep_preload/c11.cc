// C11's mtx_* and cnd_*, which do not pass through pthread_mutex_lock.  glibc's mtx_t is a
// pthread_mutex_t in all but name.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

Reentry reentry(const mtx_t* mutex) {
  const auto* inner = reinterpret_cast<const pthread_mutex_t*>(mutex);
  return (inner->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE ? Reentry::kAllowed
                                                               : Reentry::kForbidden;
}

bool held(int result) {
  return result == thrd_success;
}

template <class Wait>
int lock(Context& context, mtx_t* mutex, Attempt attempt, uintptr_t ip, Wait wait) {
  Record* record = record_at(mutex, Kind::kC11Mutex, ip);
  acquire(context, record, {.attempt = attempt, .reentry = reentry(mutex)}, ip);
  return take(
      context, record, ip, [mutex] { return real().mtx_trylock(mutex); }, wait, held);
}

}  // namespace

LOCKDEP_HOOK int mtx_init(mtx_t* mutex, int type) {
  Context* context = watched();
  if (context != nullptr) lock_made(*context, mutex, Kind::kC11Mutex, LOCKDEP_CALLER_IP);
  return real().mtx_init(mutex, type);
}

LOCKDEP_HOOK void mtx_destroy(mtx_t* mutex) {
  Context* context = watched();
  if (context != nullptr) lock_destroyed(*context, mutex, LOCKDEP_CALLER_IP);
  real().mtx_destroy(mutex);
}

LOCKDEP_HOOK int mtx_lock(mtx_t* mutex) {
  Context* context = watched();
  if (context == nullptr) return real().mtx_lock(mutex);
  return lock(*context, mutex, Attempt::kBlocking, LOCKDEP_CALLER_IP,
              [mutex] { return real().mtx_lock(mutex); });
}

LOCKDEP_HOOK int mtx_timedlock(mtx_t* mutex, const timespec* until) {
  Context* context = watched();
  if (context == nullptr) return real().mtx_timedlock(mutex, until);
  return lock(*context, mutex, Attempt::kTimed, LOCKDEP_CALLER_IP,
              [=] { return real().mtx_timedlock(mutex, until); });
}

LOCKDEP_HOOK int mtx_trylock(mtx_t* mutex) {
  Context* context = watched();
  const int result = real().mtx_trylock(mutex);
  if (context == nullptr || !held(result)) return result;
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  acquire(*context, record_at(mutex, Kind::kC11Mutex, ip),
          {.attempt = Attempt::kTry, .reentry = reentry(mutex)}, ip);
  return result;
}

LOCKDEP_HOOK int mtx_unlock(mtx_t* mutex) {
  Context* context = watched();
  if (context != nullptr) {
    const uintptr_t ip = LOCKDEP_CALLER_IP;
    Record* record = record_held_at(*context, mutex, Kind::kC11Mutex, ip);
    if (!release(*context, record, ip) && reentry(mutex) == Reentry::kForbidden) {
      taken_from(*record, reinterpret_cast<const pthread_mutex_t*>(mutex)->__data.__owner);
    }
  }
  return real().mtx_unlock(mutex);
}

LOCKDEP_HOOK int cnd_wait(cnd_t* cond, mtx_t* mutex) {
  const ConditionWait wait(watched(), mutex, Kind::kC11Mutex, LOCKDEP_CALLER_IP);
  return real().cnd_wait(cond, mutex);
}

LOCKDEP_HOOK int cnd_timedwait(cnd_t* cond, mtx_t* mutex, const timespec* until) {
  const ConditionWait wait(watched(), mutex, Kind::kC11Mutex, LOCKDEP_CALLER_IP);
  return real().cnd_timedwait(cond, mutex, until);
}

}  // namespace netfs::lockdep_preload
