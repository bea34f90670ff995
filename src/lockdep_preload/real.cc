#include "lockdep_preload/real.h"

#include <cerrno>
#include <gnu/libc-version.h>

#include "lockdep_preload/hook.h"

namespace netfs::lockdep_preload {

constinit Real g_real;

namespace {

// dlsym may allocate, and the program's malloc lock: with what is found already.
__thread bool t_finding __attribute__((tls_model("initial-exec"))) = false;

template <class Function>
void find(Function*& function, const char* name) {
  if (function != nullptr) return;
  void* found = nullptr;
#if defined(__x86_64__)
  // Those with a second, older version; a search that fails allocates, so no others.
  if (__builtin_strcmp(name, "pthread_cond_wait") == 0 ||
      __builtin_strcmp(name, "pthread_cond_timedwait") == 0) {
    found = ::dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
  }
#endif
  if (found == nullptr) found = ::dlsym(RTLD_NEXT, name);
  __atomic_store_n(&function, reinterpret_cast<Function*>(found), __ATOMIC_RELAXED);
}

}  // namespace

// Several threads may do it at once: they find the same.  What dlsym itself calls meanwhile (free,
// after an error) finds the function or leaves the work undone.
void find_real() {
  if (t_finding) return;
  t_finding = true;
  const int saved = errno;
  const Inside inside;
  // First what dlsym itself may need.
  find(g_real.free, "free");
#define LOCKDEP_FUNCTION(result, name, arguments) find(g_real.name, #name);
  LOCKDEP_FUNCTIONS
#undef LOCKDEP_FUNCTION
  dl_find_object next;
  dl_find_object libc;
  g_real.others =
      ::_dl_find_object(reinterpret_cast<void*>(g_real.pthread_mutex_lock), &next) == 0 &&
      ::_dl_find_object(reinterpret_cast<void*>(&::gnu_get_libc_version), &libc) == 0 &&
      next.dlfo_link_map != libc.dlfo_link_map;
  __atomic_store_n(&g_real.ready, true, __ATOMIC_RELEASE);
  t_finding = false;
  errno = saved;
}

}  // namespace netfs::lockdep_preload
