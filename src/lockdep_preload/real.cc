#include "lockdep_preload/real.h"

#include <cerrno>

#include "lockdep_preload/hook.h"

namespace netfs::lockdep_preload {

constinit Real g_real;

namespace {

template <class Function>
void find(Function*& function, const char* name) {
  if (function != nullptr) return;
  void* found = nullptr;
#if defined(__x86_64__)
  if (__builtin_strncmp(name, "pthread_cond_", 13) == 0)
    found = ::dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
#endif
  if (found == nullptr) found = ::dlsym(RTLD_NEXT, name);
  __atomic_store_n(&function, reinterpret_cast<Function*>(found), __ATOMIC_RELAXED);
}

}  // namespace

// Several threads may do it at once: they find the same.  What dlsym itself calls meanwhile (free,
// after an error) finds the function or leaves the work undone.
void find_real() {
  const int saved = errno;
  const Inside inside;
  // First what dlsym itself may need.
  find(g_real.free, "free");
#define LOCKDEP_FUNCTION(result, name, arguments) find(g_real.name, #name);
  LOCKDEP_FUNCTIONS
#undef LOCKDEP_FUNCTION
  __atomic_store_n(&g_real.ready, true, __ATOMIC_RELEASE);
  errno = saved;
}

}  // namespace netfs::lockdep_preload
