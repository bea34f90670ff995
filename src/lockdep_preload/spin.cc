// pthread_spin_*.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

// glibc's pthread_spinlock_t is volatile; its address is all that counts here.
const void* address(pthread_spinlock_t* lock) {
  return const_cast<const int*>(lock);
}

bool held(int result) {
  return result == 0;
}

}  // namespace

LOCKDEP_HOOK int pthread_spin_init(pthread_spinlock_t* lock, int shared) {
  Context* context = watched();
  if (context != nullptr) lock_made(*context, address(lock), Kind::kSpin, LOCKDEP_CALLER_IP);
  return real().pthread_spin_init(lock, shared);
}

LOCKDEP_HOOK int pthread_spin_destroy(pthread_spinlock_t* lock) {
  Context* context = watched();
  if (context != nullptr) lock_destroyed(*context, address(lock), LOCKDEP_CALLER_IP);
  return real().pthread_spin_destroy(lock);
}

LOCKDEP_HOOK int pthread_spin_lock(pthread_spinlock_t* lock) {
  Context* context = watched();
  if (context == nullptr) return real().pthread_spin_lock(lock);
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  Record* record = record_at(address(lock), Kind::kSpin, ip);
  acquire(*context, record, {}, ip);
  return take(
      *context, record, ip, [lock] { return real().pthread_spin_trylock(lock); },
      [lock] { return real().pthread_spin_lock(lock); }, held);
}

LOCKDEP_HOOK int pthread_spin_trylock(pthread_spinlock_t* lock) {
  Context* context = watched();
  const int result = real().pthread_spin_trylock(lock);
  if (context == nullptr || result != 0) return result;
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  acquire(*context, record_at(address(lock), Kind::kSpin, ip), {.attempt = Attempt::kTry}, ip);
  return result;
}

LOCKDEP_HOOK int pthread_spin_unlock(pthread_spinlock_t* lock) {
  Context* context = watched();
  if (context != nullptr) {
    const uintptr_t ip = LOCKDEP_CALLER_IP;
    release(*context, record_held_at(*context, address(lock), Kind::kSpin, ip), ip);
  }
  return real().pthread_spin_unlock(lock);
}

}  // namespace netfs::lockdep_preload
