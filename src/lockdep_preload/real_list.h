#pragma once
// LOCKDEP_FUNCTIONS: every function that we stand before or need from behind us, once.

#define LOCKDEP_FUNCTIONS                                                                        \
  LOCKDEP_FUNCTION(int, pthread_mutex_init, (pthread_mutex_t*, const pthread_mutexattr_t*))      \
  LOCKDEP_FUNCTION(int, pthread_mutex_destroy, (pthread_mutex_t*))                               \
  LOCKDEP_FUNCTION(int, pthread_mutex_lock, (pthread_mutex_t*))                                  \
  LOCKDEP_FUNCTION(int, pthread_mutex_trylock, (pthread_mutex_t*))                               \
  LOCKDEP_FUNCTION(int, pthread_mutex_timedlock, (pthread_mutex_t*, const timespec*))            \
  LOCKDEP_FUNCTION(int, pthread_mutex_clocklock, (pthread_mutex_t*, clockid_t, const timespec*)) \
  LOCKDEP_FUNCTION(int, pthread_mutex_unlock, (pthread_mutex_t*))                                \
  LOCKDEP_FUNCTION(int, pthread_rwlock_init, (pthread_rwlock_t*, const pthread_rwlockattr_t*))   \
  LOCKDEP_FUNCTION(int, pthread_rwlock_destroy, (pthread_rwlock_t*))                             \
  LOCKDEP_FUNCTION(int, pthread_rwlock_rdlock, (pthread_rwlock_t*))                              \
  LOCKDEP_FUNCTION(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t*))                           \
  LOCKDEP_FUNCTION(int, pthread_rwlock_timedrdlock, (pthread_rwlock_t*, const timespec*))        \
  LOCKDEP_FUNCTION(int, pthread_rwlock_clockrdlock,                                              \
                   (pthread_rwlock_t*, clockid_t, const timespec*))                              \
  LOCKDEP_FUNCTION(int, pthread_rwlock_wrlock, (pthread_rwlock_t*))                              \
  LOCKDEP_FUNCTION(int, pthread_rwlock_trywrlock, (pthread_rwlock_t*))                           \
  LOCKDEP_FUNCTION(int, pthread_rwlock_timedwrlock, (pthread_rwlock_t*, const timespec*))        \
  LOCKDEP_FUNCTION(int, pthread_rwlock_clockwrlock,                                              \
                   (pthread_rwlock_t*, clockid_t, const timespec*))                              \
  LOCKDEP_FUNCTION(int, pthread_rwlock_unlock, (pthread_rwlock_t*))                              \
  LOCKDEP_FUNCTION(int, pthread_spin_init, (pthread_spinlock_t*, int))                           \
  LOCKDEP_FUNCTION(int, pthread_spin_destroy, (pthread_spinlock_t*))                             \
  LOCKDEP_FUNCTION(int, pthread_spin_lock, (pthread_spinlock_t*))                                \
  LOCKDEP_FUNCTION(int, pthread_spin_trylock, (pthread_spinlock_t*))                             \
  LOCKDEP_FUNCTION(int, pthread_spin_unlock, (pthread_spinlock_t*))                              \
  LOCKDEP_FUNCTION(int, pthread_cond_wait, (pthread_cond_t*, pthread_mutex_t*))                  \
  LOCKDEP_FUNCTION(int, pthread_cond_timedwait,                                                  \
                   (pthread_cond_t*, pthread_mutex_t*, const timespec*))                         \
  LOCKDEP_FUNCTION(int, pthread_cond_clockwait,                                                  \
                   (pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*))              \
  LOCKDEP_FUNCTION(int, pthread_once, (pthread_once_t*, void (*)()))                             \
  LOCKDEP_FUNCTION(int, pthread_barrier_init,                                                    \
                   (pthread_barrier_t*, const pthread_barrierattr_t*, unsigned))                 \
  LOCKDEP_FUNCTION(int, pthread_barrier_destroy, (pthread_barrier_t*))                           \
  LOCKDEP_FUNCTION(int, pthread_barrier_wait, (pthread_barrier_t*))                              \
  LOCKDEP_FUNCTION(int, pthread_create,                                                          \
                   (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*))                 \
  LOCKDEP_FUNCTION(int, pthread_join, (pthread_t, void**))                                       \
  LOCKDEP_FUNCTION(int, pthread_tryjoin_np, (pthread_t, void**))                                 \
  LOCKDEP_FUNCTION(int, pthread_timedjoin_np, (pthread_t, void**, const timespec*))              \
  LOCKDEP_FUNCTION(int, pthread_clockjoin_np, (pthread_t, void**, clockid_t, const timespec*))   \
  LOCKDEP_FUNCTION(int, pthread_detach, (pthread_t))                                             \
  LOCKDEP_FUNCTION(int, pthread_sigmask, (int, const sigset_t*, sigset_t*))                      \
  LOCKDEP_FUNCTION(int, sigprocmask, (int, const sigset_t*, sigset_t*))                          \
  LOCKDEP_FUNCTION(int, sigaction, (int, const struct sigaction*, struct sigaction*))            \
  LOCKDEP_FUNCTION(sighandler_t, signal, (int, sighandler_t))                                    \
  LOCKDEP_FUNCTION(sighandler_t, sigset, (int, sighandler_t))                                    \
  LOCKDEP_FUNCTION(sighandler_t, __sysv_signal, (int, sighandler_t))                             \
  LOCKDEP_FUNCTION(void, longjmp, (jmp_buf, int))                                                \
  LOCKDEP_FUNCTION(void, _longjmp, (jmp_buf, int))                                               \
  LOCKDEP_FUNCTION(void, siglongjmp, (sigjmp_buf, int))                                          \
  LOCKDEP_FUNCTION(void, __longjmp_chk, (jmp_buf, int))                                          \
  LOCKDEP_FUNCTION(int, sem_init, (sem_t*, int, unsigned))                                       \
  LOCKDEP_FUNCTION(int, sem_destroy, (sem_t*))                                                   \
  LOCKDEP_FUNCTION(int, sem_wait, (sem_t*))                                                      \
  LOCKDEP_FUNCTION(int, sem_trywait, (sem_t*))                                                   \
  LOCKDEP_FUNCTION(int, sem_timedwait, (sem_t*, const timespec*))                                \
  LOCKDEP_FUNCTION(int, sem_clockwait, (sem_t*, clockid_t, const timespec*))                     \
  LOCKDEP_FUNCTION(int, sem_post, (sem_t*))                                                      \
  LOCKDEP_FUNCTION(int, mtx_init, (mtx_t*, int))                                                 \
  LOCKDEP_FUNCTION(void, mtx_destroy, (mtx_t*))                                                  \
  LOCKDEP_FUNCTION(int, mtx_lock, (mtx_t*))                                                      \
  LOCKDEP_FUNCTION(int, mtx_trylock, (mtx_t*))                                                   \
  LOCKDEP_FUNCTION(int, mtx_timedlock, (mtx_t*, const timespec*))                                \
  LOCKDEP_FUNCTION(int, mtx_unlock, (mtx_t*))                                                    \
  LOCKDEP_FUNCTION(int, cnd_wait, (cnd_t*, mtx_t*))                                              \
  LOCKDEP_FUNCTION(int, cnd_timedwait, (cnd_t*, mtx_t*, const timespec*))                        \
  LOCKDEP_FUNCTION(int, thrd_create, (thrd_t*, int (*)(void*), void*))                           \
  LOCKDEP_FUNCTION(int, thrd_join, (thrd_t, int*))                                               \
  LOCKDEP_FUNCTION(void, call_once, (once_flag*, void (*)()))                                    \
  LOCKDEP_FUNCTION(void*, dlopen, (const char*, int))                                            \
  LOCKDEP_FUNCTION(int, dlclose, (void*))                                                        \
  LOCKDEP_FUNCTION(void, free, (void*))                                                          \
  LOCKDEP_FUNCTION(void*, realloc, (void*, size_t))                                              \
  LOCKDEP_FUNCTION(size_t, malloc_usable_size, (void*))                                          \
  LOCKDEP_FUNCTION(int, munmap, (void*, size_t))
