// pthread_once, call_once and the guards of function-local statics: while one thread initialises,
// it holds what the others wait for.  What is initialised already costs a look.

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

// glibc's sign of a once that is done.
constexpr int kOnceDone = 2;

bool done(const void* control) {
  return (__atomic_load_n(static_cast<const int*>(control), __ATOMIC_ACQUIRE) & kOnceDone) != 0;
}

// Ends also when the initialiser is cancelled or throws.
class Once {
 public:
  Once(Context* context, const void* control, uintptr_t ip)
      : context_(context),
        record_(context == nullptr || done(control) ? nullptr
                                                    : record_at(control, Kind::kOnce, ip)),
        ip_(ip) {
    if (record_ != nullptr) acquire(*context_, record_, {}, ip_);
  }
  ~Once() {
    if (record_ != nullptr) release(*context_, record_, ip_);
  }
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

 private:
  Context* context_;
  Record* record_;
  uintptr_t ip_;
};

// The compilers' contract: the first byte of a guard says that it is done.
bool guard_done(const long long* guard) {
  return __atomic_load_n(reinterpret_cast<const char*>(guard), __ATOMIC_ACQUIRE) != 0;
}

}  // namespace

LOCKDEP_HOOK int pthread_once(pthread_once_t* control, void (*initialise)()) {
  const Once once(watched(), control, LOCKDEP_CALLER_IP);
  return real().pthread_once(control, initialise);
}

LOCKDEP_HOOK void call_once(once_flag* flag, void (*initialise)()) {
  const Once once(watched(), flag, LOCKDEP_CALLER_IP);
  real().call_once(flag, initialise);
}

// A program without a C++ library has none of these, but ours is linked in and may.
LOCKDEP_HOOK int __cxa_guard_acquire(long long* guard) {
  if (real().__cxa_guard_acquire == nullptr) return guard_done(guard) ? 0 : 1;
  Context* context = watched();
  if (context == nullptr || guard_done(guard)) return real().__cxa_guard_acquire(guard);
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  Record* record = record_at(guard, Kind::kGuard, ip);
  acquire(*context, record, {}, ip);
  const int result = real().__cxa_guard_acquire(guard);
  if (result == 0) release(*context, record, ip);
  return result;
}

LOCKDEP_HOOK void __cxa_guard_release(long long* guard) {
  if (real().__cxa_guard_release == nullptr) {
    __atomic_store_n(reinterpret_cast<char*>(guard), 1, __ATOMIC_RELEASE);
    return;
  }
  Context* context = watched();
  if (context != nullptr) {
    release(*context, find_record(reinterpret_cast<uintptr_t>(guard)), LOCKDEP_CALLER_IP);
  }
  real().__cxa_guard_release(guard);
}

LOCKDEP_HOOK void __cxa_guard_abort(long long* guard) {
  if (real().__cxa_guard_abort == nullptr) return;
  Context* context = watched();
  if (context != nullptr) {
    release(*context, find_record(reinterpret_cast<uintptr_t>(guard)), LOCKDEP_CALLER_IP);
  }
  real().__cxa_guard_abort(guard);
}

}  // namespace netfs::lockdep_preload
