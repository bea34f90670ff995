// pthread_cond_*wait: the mutex is given up and taken again inside, where no hook sees it.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {

LOCKDEP_HOOK int pthread_cond_wait(pthread_cond_t* cond, pthread_mutex_t* mutex) {
  const ConditionWait wait(watched(), mutex, Kind::kMutex, LOCKDEP_CALLER_IP);
  return real().pthread_cond_wait(cond, mutex);
}

LOCKDEP_HOOK int pthread_cond_timedwait(pthread_cond_t* cond, pthread_mutex_t* mutex,
                                        const timespec* until) {
  const ConditionWait wait(watched(), mutex, Kind::kMutex, LOCKDEP_CALLER_IP);
  return real().pthread_cond_timedwait(cond, mutex, until);
}

LOCKDEP_HOOK int pthread_cond_clockwait(pthread_cond_t* cond, pthread_mutex_t* mutex,
                                        clockid_t clock, const timespec* until) {
  const ConditionWait wait(watched(), mutex, Kind::kMutex, LOCKDEP_CALLER_IP);
  return real().pthread_cond_clockwait(cond, mutex, clock, until);
}

}  // namespace netfs::lockdep_preload
