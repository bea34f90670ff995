// The finer points of orders: what counts as one, and what only looks like it.

#include <cerrno>
#include <csignal>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_c = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_d = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t lock_p = PTHREAD_RWLOCK_INITIALIZER;

void lock(pthread_mutex_t& mutex) {
  require(::pthread_mutex_lock(&mutex), 0);
}
void unlock(pthread_mutex_t& mutex) {
  require(::pthread_mutex_unlock(&mutex), 0);
}

// C is taken under B, though B was only tried.
void under_a_try() {
  run_concurrently(
      [] {
        lock(lock_a);
        require(::pthread_mutex_trylock(&lock_b), 0);
        with(lock_c, lock_d);
        unlock(lock_b);
        unlock(lock_a);
      },
      [] { with(lock_c, lock_b); });
}

// A was not got, so that B is not taken under it.
void failed_try() {
  static Turns turns;
  const pthread_t holder = start([] {
    lock(lock_a);
    turns.next();
    turns.wait_for(2);
    unlock(lock_a);
  });
  const pthread_t other = start([] {
    turns.wait_for(1);
    require(::pthread_mutex_trylock(&lock_a), EBUSY);
    with(lock_b, lock_c);
    turns.next();
    turns.wait_for(3);
  });
  join(holder);
  turns.next();
  join(other);
  run_concurrently([] { with(lock_b, lock_a); }, [] { with(lock_c, lock_d); });
}

void unlock_a_then_take_d() {
  lock(lock_a);
  lock(lock_b);
  lock(lock_c);
  unlock(lock_a);
  lock(lock_d);
  unlock(lock_c);
  unlock(lock_b);
  unlock(lock_d);
}
// D was taken under B and C, and not under A: a circle through B needs the thread in two places.
void released_first() {
  run_concurrently(unlock_a_then_take_d, [] { with(lock_d, lock_a); });
}
void released_later() {
  run_concurrently(unlock_a_then_take_d, [] { with(lock_d, lock_b); });
}

void from_hand_to_hand() {
  lock(lock_a);
  lock(lock_b);
  unlock(lock_a);
  lock(lock_c);
  unlock(lock_b);
  unlock(lock_c);
}
// One thread cannot be in two places of its way.
void hand_over_hand() {
  run_concurrently(from_hand_to_hand, [] { with(lock_c, lock_a); });
}
void hand_over_hand_by_two() {
  run_concurrently(from_hand_to_hand, from_hand_to_hand, [] { with(lock_c, lock_a); });
}

void read_under(pthread_mutex_t& outer) {
  lock(outer);
  ::pthread_rwlock_rdlock(&lock_p);
  ::pthread_rwlock_unlock(&lock_p);
  unlock(outer);
}

// The readers are no matter; the writer that comes when their orders are known is.
void read_then_write() {
  run_concurrently(
      [] {
        ::pthread_rwlock_rdlock(&lock_p);
        lock(lock_a);
        unlock(lock_a);
        ::pthread_rwlock_unlock(&lock_p);
      },
      [] {
        read_under(lock_a);
        read_under(lock_a);
        lock(lock_a);
        ::pthread_rwlock_wrlock(&lock_p);
        ::pthread_rwlock_unlock(&lock_p);
        unlock(lock_a);
      });
}

// From A to B there is an order, across the reader between them.
void across_a_reader() {
  run_concurrently(
      [] {
        lock(lock_a);
        ::pthread_rwlock_rdlock(&lock_p);
        lock(lock_b);
        unlock(lock_b);
        ::pthread_rwlock_unlock(&lock_p);
        unlock(lock_a);
      },
      [] { with(lock_b, lock_a); });
}

// In earnest, ended by a signal.
void relock() {
  ::alarm(1);
  lock(lock_a);
  ::pthread_mutex_lock(&lock_a);
}

pthread_mutex_t& mapped_at(void* wanted) {
  void* memory = ::mmap(wanted, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ::_exit(95);
  return *static_cast<pthread_mutex_t*>(memory);
}

void unmap_reuse() {
  static pthread_mutex_t* mapped = &mapped_at(nullptr);
  run_concurrently(
      [] {
        with(*mapped, lock_a);
        ::munmap(mapped, 4096);
        if (&mapped_at(mapped) != mapped) ::_exit(95);
      },
      [] { with(lock_a, *mapped); });
}

void unmap_holding() {
  pthread_mutex_t& mapped = mapped_at(nullptr);
  lock(mapped);
  ::munmap(&mapped, 4096);
}

void cancel_holding() {
  static Turns turns;
  const pthread_t thread = start([] {
    lock(lock_a);
    turns.next();
    for (;;) ::pause();
  });
  turns.wait_for(1);
  ::pthread_cancel(thread);
  join(thread);
}

Turns threads_turns;
constexpr int kThreads = 64;

// A spell of its own for each of 64 threads, all of which live at once; every second one takes the
// locks in the other order.
void many_threads_abba() {
  static std::atomic<int> next{0};
  pthread_t threads[kThreads];
  for (pthread_t& thread : threads) {
    thread = start([] {
      const int own = next.fetch_add(1);
      threads_turns.wait_for(own);
      if (own % 2 == 0) {
        with(lock_a, lock_b);
      } else {
        with(lock_b, lock_a);
      }
      threads_turns.next();
      threads_turns.wait_for(kThreads);
    });
  }
  for (const pthread_t thread : threads) join(thread);
}

}  // namespace

const Scenario kFineScenarios[] = {
    {"under_a_try", under_a_try},
    {"failed_try", failed_try},
    {"released_first", released_first},
    {"released_later", released_later},
    {"hand_over_hand", hand_over_hand},
    {"hand_over_hand_by_two", hand_over_hand_by_two},
    {"read_then_write", read_then_write},
    {"across_a_reader", across_a_reader},
    {"relock", relock},
    {"unmap_reuse", unmap_reuse},
    {"unmap_holding", unmap_holding},
    {"cancel_holding", cancel_holding},
    {"many_threads_abba", many_threads_abba},
};
const unsigned kFineScenarioCount = sizeof kFineScenarios / sizeof *kFineScenarios;

}  // namespace scenarios
