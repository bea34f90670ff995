// A plugin in C++ with what is hard to stand before: a static that many threads want at once,
// threads that allocate while the loader waits for them, and allocations that fail.

#include <atomic>
#include <memory>
#include <new>
#include <pthread.h>
#include <unistd.h>

namespace {

std::atomic<int> made{0};

struct Slow {
  Slow() {
    ::usleep(20'000);
    made.fetch_add(1);
  }
};

void* use_static(void*) {
  static const Slow slow;
  return const_cast<Slow*>(&slow);
}
void* allocate(void*) {
  return new int(7);
}

int value_of_thread(void* (*run)(void*)) {
  pthread_t thread;
  void* result = nullptr;
  if (::pthread_create(&thread, nullptr, run, nullptr) != 0) return -1;
  ::pthread_join(thread, &result);
  const std::unique_ptr<int> value(static_cast<int*>(result));
  return *value;
}

bool is_refused() {
  volatile size_t too_many = ~size_t{0} / 2;
  try {
    delete[] new char[too_many];
  } catch (const std::bad_alloc&) {
    return new (std::nothrow) char[too_many] == nullptr;
  }
  return false;
}

// While the loader holds its lock.
const int g_at_load = value_of_thread(allocate);

}  // namespace

extern "C" int plugin_run() {
  pthread_t threads[4];
  for (pthread_t& thread : threads) ::pthread_create(&thread, nullptr, use_static, nullptr);
  for (const pthread_t thread : threads) ::pthread_join(thread, nullptr);
  return made.load() * 1000 + g_at_load * 100 + value_of_thread(allocate) * 10 + int{is_refused()};
}
