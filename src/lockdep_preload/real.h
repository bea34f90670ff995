#pragma once
// real(): the functions that we stand before, as the next library in the loader's order has them.
//
// Thread-safe.  Found at the first use, which may be before our own constructor; null where no
// library has one.  pthread_cond_* by version: the unversioned search finds another in some glibc.

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <threads.h>
#include <unistd.h>

#include "lockdep_preload/real_list.h"

namespace netfs::lockdep_preload {

struct Real {
#define LOCKDEP_FUNCTION(result, name, arguments) result(*name) arguments = nullptr;
  LOCKDEP_FUNCTIONS
#undef LOCKDEP_FUNCTION
  // Another library stands before the locks as well: it is to see the calls that the program makes.
  bool others = false;
  bool ready = false;
};

extern Real g_real;
void find_real();

inline const Real& real() {
  if (__builtin_expect(!__atomic_load_n(&g_real.ready, __ATOMIC_ACQUIRE), 0)) find_real();
  return g_real;
}

}  // namespace netfs::lockdep_preload
