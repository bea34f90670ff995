// pthread_rwlock_*: both preferences.  Where readers are preferred, as by default, a reader is not
// kept out by a writer that waits: a recursive reader.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

Mode read_mode(const pthread_rwlock_t* lock) {
  return lock->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP
             ? Mode::kRead
             : Mode::kRecursiveRead;
}

bool held(int result) {
  return result == 0;
}

template <class Wait>
int read(Context& context, pthread_rwlock_t* lock, Attempt attempt, uintptr_t ip, Wait wait) {
  Record* record = record_at(lock, Kind::kRwlock, ip);
  acquire(context, record, {.mode = read_mode(lock), .attempt = attempt}, ip);
  return take(
      context, record, ip, [lock] { return real().pthread_rwlock_tryrdlock(lock); }, wait, held);
}

template <class Wait>
int write(Context& context, pthread_rwlock_t* lock, Attempt attempt, uintptr_t ip, Wait wait) {
  Record* record = record_at(lock, Kind::kRwlock, ip);
  acquire(context, record, {.mode = Mode::kWrite, .attempt = attempt}, ip);
  return take(
      context, record, ip, [lock] { return real().pthread_rwlock_trywrlock(lock); }, wait, held);
}

int tried(Context* context, pthread_rwlock_t* lock, Mode mode, int result, uintptr_t ip) {
  if (context == nullptr || !held(result)) return result;
  acquire(*context, record_at(lock, Kind::kRwlock, ip), {.mode = mode, .attempt = Attempt::kTry},
          ip);
  return result;
}

}  // namespace

LOCKDEP_HOOK int pthread_rwlock_init(pthread_rwlock_t* lock,
                                     const pthread_rwlockattr_t* attributes) {
  Context* context = watched();
  if (context != nullptr) lock_made(*context, lock, Kind::kRwlock, LOCKDEP_CALLER_IP);
  return real().pthread_rwlock_init(lock, attributes);
}

LOCKDEP_HOOK int pthread_rwlock_destroy(pthread_rwlock_t* lock) {
  Context* context = watched();
  if (context != nullptr) lock_destroyed(*context, lock, LOCKDEP_CALLER_IP);
  return real().pthread_rwlock_destroy(lock);
}

LOCKDEP_HOOK int pthread_rwlock_rdlock(pthread_rwlock_t* lock) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_rwlock_rdlock(lock);
  return read(*context, lock, Attempt::kBlocking, LOCKDEP_CALLER_IP,
              [lock] { return real().pthread_rwlock_rdlock(lock); });
}

LOCKDEP_HOOK int pthread_rwlock_timedrdlock(pthread_rwlock_t* lock, const timespec* until) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_rwlock_timedrdlock(lock, until);
  return read(*context, lock, Attempt::kTimed, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_rwlock_timedrdlock(lock, until); });
}

LOCKDEP_HOOK int pthread_rwlock_clockrdlock(pthread_rwlock_t* lock, clockid_t clock,
                                            const timespec* until) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_rwlock_clockrdlock(lock, clock, until);
  return read(*context, lock, Attempt::kTimed, LOCKDEP_CALLER_IP,
              [=] { return real().pthread_rwlock_clockrdlock(lock, clock, until); });
}

LOCKDEP_HOOK int pthread_rwlock_wrlock(pthread_rwlock_t* lock) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_rwlock_wrlock(lock);
  return write(*context, lock, Attempt::kBlocking, LOCKDEP_CALLER_IP,
               [lock] { return real().pthread_rwlock_wrlock(lock); });
}

LOCKDEP_HOOK int pthread_rwlock_timedwrlock(pthread_rwlock_t* lock, const timespec* until) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_rwlock_timedwrlock(lock, until);
  return write(*context, lock, Attempt::kTimed, LOCKDEP_CALLER_IP,
               [=] { return real().pthread_rwlock_timedwrlock(lock, until); });
}

LOCKDEP_HOOK int pthread_rwlock_clockwrlock(pthread_rwlock_t* lock, clockid_t clock,
                                            const timespec* until) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_rwlock_clockwrlock(lock, clock, until);
  return write(*context, lock, Attempt::kTimed, LOCKDEP_CALLER_IP,
               [=] { return real().pthread_rwlock_clockwrlock(lock, clock, until); });
}

LOCKDEP_HOOK int pthread_rwlock_tryrdlock(pthread_rwlock_t* lock) {
  Context* context = watched();
  const int result = real().pthread_rwlock_tryrdlock(lock);
  return tried(context, lock, read_mode(lock), result, LOCKDEP_CALLER_IP);
}

LOCKDEP_HOOK int pthread_rwlock_trywrlock(pthread_rwlock_t* lock) {
  Context* context = watched();
  const int result = real().pthread_rwlock_trywrlock(lock);
  return tried(context, lock, Mode::kWrite, result, LOCKDEP_CALLER_IP);
}

LOCKDEP_HOOK int pthread_rwlock_unlock(pthread_rwlock_t* lock) {
  Context* context = watched();
  if (context != nullptr) {
    const uintptr_t ip = LOCKDEP_CALLER_IP;
    Record* record = record_held_at(*context, lock, Kind::kRwlock, ip);
    if (!release(*context, record, ip)) taken_from(*record, lock->__data.__cur_writer);
  }
  return real().pthread_rwlock_unlock(lock);
}

}  // namespace netfs::lockdep_preload
