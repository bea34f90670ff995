// A library that locks while it is loaded; preloaded, it is another one that stands before
// pthread_mutex_lock, and says at the end how often it was called if PLUGIN_SAYS is set.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <pthread.h>

extern "C" [[gnu::weak]] void scenarios_in_constructor();

namespace {

std::atomic<long> calls{0};

[[gnu::constructor]] void construct() {
  if (scenarios_in_constructor != nullptr) scenarios_in_constructor();
}

[[gnu::destructor]] void destruct() {
  if (std::getenv("PLUGIN_SAYS") != nullptr && calls.load() != 0) {
    std::fputs("the plugin stood before a lock\n", stderr);
  }
}

}  // namespace

extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  static const auto next =
      reinterpret_cast<int (*)(pthread_mutex_t*)>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  calls.fetch_add(1);
  return next(mutex);
}
