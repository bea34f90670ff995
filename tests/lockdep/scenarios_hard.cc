// What a tool that stands between a program and its locks finds hard: errors of timed locks, robust
// mutexes, cancelled threads, exceptions, barriers, libraries that lock when they are loaded.

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <unistd.h>

#include "tests/lockdep/scenarios.h"

namespace scenarios {

namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;

Turns timed_turns;

// A timed lock that was not got is not held: B under it would be A -> B, and B -> A there is.
void timed_out() {
  const pthread_t other = start([] {
    with(lock_b, lock_a);
    timed_turns.next();
    timed_turns.wait_for(2);
    const timespec past{1, 0};
    require(::pthread_mutex_timedlock(&lock_a, &past), ETIMEDOUT);
    require(::pthread_mutex_clocklock(&lock_a, CLOCK_MONOTONIC, &past), ETIMEDOUT);
    ::pthread_mutex_lock(&lock_b);
    ::pthread_mutex_unlock(&lock_b);
    timed_turns.next();
  });
  const pthread_t holder = start([] {
    timed_turns.wait_for(1);
    ::pthread_mutex_lock(&lock_a);
    timed_turns.next();
    timed_turns.wait_for(3);
    ::pthread_mutex_unlock(&lock_a);
  });
  join(other);
  join(holder);
}

// Whoever waits for a time only does not hang for ever.
void timed_abba() {
  run_concurrently([] { with(lock_a, lock_b); },
                   [] {
                     const timespec far{INT32_MAX, 0};
                     ::pthread_mutex_lock(&lock_b);
                     require(::pthread_mutex_clocklock(&lock_a, CLOCK_REALTIME, &far), 0);
                     ::pthread_mutex_unlock(&lock_a);
                     ::pthread_mutex_unlock(&lock_b);
                   });
}

void make(pthread_mutex_t& mutex, int (*set)(pthread_mutexattr_t*, int), int value) {
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  require(set(&attributes, value), 0);
  require(::pthread_mutex_init(&mutex, &attributes), 0);
}

void robust_owner_dead() {
  static pthread_mutex_t robust;
  make(robust, ::pthread_mutexattr_setrobust, PTHREAD_MUTEX_ROBUST);
  run_concurrently(
      [] {
        with(lock_a, robust);
        join(start([] {
          ::pthread_mutex_lock(&robust);
          ::pthread_exit(nullptr);
        }));
      },
      [] {
        require(::pthread_mutex_lock(&robust), EOWNERDEAD);
        require(::pthread_mutex_consistent(&robust), 0);
        ::pthread_mutex_lock(&lock_a);  // the other order
        ::pthread_mutex_unlock(&lock_a);
        require(::pthread_mutex_unlock(&robust), 0);
      });
}

void pi_abba() {
  static pthread_mutex_t inheriting;
  make(inheriting, ::pthread_mutexattr_setprotocol, PTHREAD_PRIO_INHERIT);
  run_concurrently([] { with(inheriting, lock_a); }, [] { with(lock_a, inheriting); });
}

pthread_once_t once = PTHREAD_ONCE_INIT;

void once_abba() {
  run_concurrently(
      [] {
        ::pthread_once(&once, [] {
          ::pthread_mutex_lock(&lock_a);
          ::pthread_mutex_unlock(&lock_a);
        });
      },
      [] {
        ::pthread_mutex_lock(&lock_a);
        ::pthread_once(&once, [] {});
        ::pthread_mutex_unlock(&lock_a);
      });
}

void initialise_under_nothing() {
  ::pthread_once(&once, [] {
    ::pthread_mutex_lock(&lock_a);
    ::pthread_mutex_unlock(&lock_a);
  });
}

void once_under_a() {
  ::pthread_mutex_lock(&lock_a);
  ::pthread_once(&once, [] {});
  ::pthread_mutex_unlock(&lock_a);
}

// Who takes A has been there before: nobody who has A can wait for it.
void once_passed() {
  run_concurrently(initialise_under_nothing, [] {
    initialise_under_nothing();
    once_under_a();
  });
}

// The same, among many others that a thread may have to know.
void once_passed_of_many() {
  static pthread_once_t others[3000];
  run_concurrently(initialise_under_nothing, [] {
    initialise_under_nothing();
    for (pthread_once_t& other : others) ::pthread_once(&other, [] {});
    once_under_a();
  });
}

// Done before the threads were made.
void once_before_threads() {
  initialise_under_nothing();
  run_concurrently(once_under_a, once_under_a);
}

pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
Turns cancel_turns;

void cancelled_wait() {
  const pthread_t waiter = start([] {
    pthread_cleanup_push(
        [](void*) {
          // A is held again: B under it is A -> B, and nothing is left behind.
          ::pthread_mutex_lock(&lock_b);
          ::pthread_mutex_unlock(&lock_b);
          ::pthread_mutex_unlock(&lock_a);
        },
        nullptr);
    ::pthread_mutex_lock(&lock_a);
    cancel_turns.next();
    for (;;) ::pthread_cond_wait(&condition, &lock_a);
    pthread_cleanup_pop(0);
  });
  cancel_turns.wait_for(1);
  ::pthread_mutex_lock(&lock_a);  // so that it waits
  ::pthread_mutex_unlock(&lock_a);
  ::pthread_cancel(waiter);
  join(waiter);
}

std::mutex guarded;

// The guard gives its mutex up when an exception passes: B comes after it, not under it.
void thrown_through() {
  run_concurrently(
      [] {
        try {
          const std::lock_guard guard(guarded);
          throw 1;
        } catch (int) {
          ::pthread_mutex_lock(&lock_b);
          ::pthread_mutex_unlock(&lock_b);
        }
      },
      [] { with(lock_b, *guarded.native_handle()); });
}

void errno_stays() {
  for (int i = 0; i < 3; ++i) {
    errno = 4711;
    with(lock_a, lock_b);
    require(errno, 4711);
    auto* made = static_cast<pthread_mutex_t*>(std::calloc(1, sizeof(pthread_mutex_t)));
    errno = 4711;
    with(lock_b, *made);
    require(errno, 4711);
    std::free(made);
  }
  errno = 4711;
  with(lock_b, lock_a);  // something to report
  require(errno, 4711);
}

// It was A's when another thread unlocked it; what A's thread does then is not done under it.
void unlocked_by_other_then_on() {
  run_concurrently(
      [] {
        ::pthread_mutex_lock(&lock_a);
        join(start([] { ::pthread_mutex_unlock(&lock_a); }));
        ::pthread_mutex_lock(&lock_b);
        ::pthread_mutex_unlock(&lock_b);
        ::pthread_mutex_lock(&lock_a);
        ::pthread_mutex_unlock(&lock_a);
      },
      [] { with(lock_b, lock_a); });
}

pthread_barrier_t barrier;

// Both come back to the barrier: the second takes A in between, the first waits for it under A.
void barrier_under_lock() {
  ::pthread_barrier_init(&barrier, nullptr, 2);
  const pthread_t first = start([] {
    for (int round = 0; round < 3; ++round) ::pthread_barrier_wait(&barrier);
    ::pthread_mutex_lock(&lock_a);
    ::pthread_barrier_wait(&barrier);
    ::pthread_mutex_unlock(&lock_a);
  });
  const pthread_t second = start([] {
    for (int round = 0; round < 2; ++round) ::pthread_barrier_wait(&barrier);
    ::pthread_mutex_lock(&lock_a);
    ::pthread_mutex_unlock(&lock_a);
    for (int round = 2; round < 4; ++round) ::pthread_barrier_wait(&barrier);
  });
  join(first);
  join(second);
  ::pthread_barrier_destroy(&barrier);
}

// Where all begin: nobody comes back.
void barrier_at_start() {
  ::pthread_barrier_init(&barrier, nullptr, 2);
  const pthread_t first = start([] {
    ::pthread_mutex_lock(&lock_a);
    ::pthread_barrier_wait(&barrier);
    ::pthread_mutex_unlock(&lock_a);
  });
  const pthread_t second = start([] {
    ::pthread_barrier_wait(&barrier);
    ::pthread_mutex_lock(&lock_a);
    ::pthread_mutex_unlock(&lock_a);
  });
  join(first);
  join(second);
  ::pthread_barrier_destroy(&barrier);
}

const char* plugin_file = SCENARIOS_PLUGIN;

void load_plugin() {
  void* plugin = ::dlopen(plugin_file, RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) ::_exit(95);
  ::dlclose(plugin);
}

bool plugin_locks;

// The constructor of a library takes A under the loader's lock; dlopen under A is the other order.
void load_abba() {
  plugin_locks = true;
  run_concurrently([] { load_plugin(); },
                   [] {
                     plugin_locks = false;
                     ::pthread_mutex_lock(&lock_a);
                     load_plugin();
                     ::pthread_mutex_unlock(&lock_a);
                   });
}

// The same, found along LD_LIBRARY_PATH.
void load_abba_by_name() {
  plugin_file = std::strrchr(SCENARIOS_PLUGIN, '/') + 1;
  load_abba();
}

void load_alone() {
  plugin_locks = true;
  run_concurrently([] { load_plugin(); }, [] { load_plugin(); });
}

}  // namespace

const Scenario kHardScenarios[] = {
    {"timed_out", timed_out},
    {"timed_abba", timed_abba},
    {"robust_owner_dead", robust_owner_dead},
    {"pi_abba", pi_abba},
    {"once_abba", once_abba},
    {"once_passed", once_passed},
    {"once_passed_of_many", once_passed_of_many},
    {"once_before_threads", once_before_threads},
    {"cancelled_wait", cancelled_wait},
    {"thrown_through", thrown_through},
    {"errno_stays", errno_stays},
    {"unlocked_by_other_then_on", unlocked_by_other_then_on},
    {"barrier_under_lock", barrier_under_lock},
    {"barrier_at_start", barrier_at_start},
    {"load_abba", load_abba},
    {"load_abba_by_name", load_abba_by_name},
    {"load_alone", load_alone},
};
const unsigned kHardScenarioCount = sizeof kHardScenarios / sizeof *kHardScenarios;

}  // namespace scenarios

// What the plugin's constructor calls.
extern "C" void scenarios_in_constructor() {
  if (!scenarios::plugin_locks) return;
  ::pthread_mutex_lock(&scenarios::lock_a);
  ::pthread_mutex_unlock(&scenarios::lock_a);
}
