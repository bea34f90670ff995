// pthread_cond_*wait: the mutex is given up and taken again inside, where no hook sees it.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

// Takes the mutex back in our books however the wait ends: a cancelled one as well, whose cleanup
// handlers find it locked.
class Wait {
 public:
  Wait(Context* context, pthread_mutex_t* mutex, uintptr_t ip)
      : context_(context),
        record_(context == nullptr ? nullptr : record_at(mutex, Kind::kMutex, ip)),
        ip_(ip) {
    if (record_ != nullptr) validator().wait_begins(*context_, record_->instance, ip_);
  }
  ~Wait() {
    if (record_ != nullptr) validator().wait_ends(*context_, record_->instance, ip_);
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

 private:
  Context* context_;
  Record* record_;
  uintptr_t ip_;
};

}  // namespace

LOCKDEP_HOOK int pthread_cond_wait(pthread_cond_t* cond, pthread_mutex_t* mutex) {
  const Wait wait(watched(), mutex, LOCKDEP_CALLER_IP);
  return real().pthread_cond_wait(cond, mutex);
}

LOCKDEP_HOOK int pthread_cond_timedwait(pthread_cond_t* cond, pthread_mutex_t* mutex,
                                        const timespec* until) {
  const Wait wait(watched(), mutex, LOCKDEP_CALLER_IP);
  return real().pthread_cond_timedwait(cond, mutex, until);
}

LOCKDEP_HOOK int pthread_cond_clockwait(pthread_cond_t* cond, pthread_mutex_t* mutex,
                                        clockid_t clock, const timespec* until) {
  const Wait wait(watched(), mutex, LOCKDEP_CALLER_IP);
  return real().pthread_cond_clockwait(cond, mutex, clock, until);
}

}  // namespace netfs::lockdep_preload
