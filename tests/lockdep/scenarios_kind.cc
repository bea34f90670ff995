// Locks that are no plain mutex.

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <semaphore.h>
#include <threads.h>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t lock_p;
pthread_rwlock_t lock_q;

void make_rwlocks(int kind) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, kind);
  pthread_rwlock_init(&lock_p, &attributes);
  pthread_rwlock_init(&lock_q, &attributes);
}

using Take = int (*)(pthread_rwlock_t*);

void nest(pthread_rwlock_t& outer, Take take_outer, pthread_rwlock_t& inner, Take take_inner) {
  take_outer(&outer);
  take_inner(&inner);
  pthread_rwlock_unlock(&inner);
  pthread_rwlock_unlock(&outer);
}

void read_read() {
  run_concurrently([] { nest(lock_p, pthread_rwlock_rdlock, lock_q, pthread_rwlock_rdlock); },
                   [] { nest(lock_q, pthread_rwlock_rdlock, lock_p, pthread_rwlock_rdlock); });
}
void read_read_reader() {
  make_rwlocks(PTHREAD_RWLOCK_PREFER_READER_NP);
  read_read();
}
void read_read_writer() {
  make_rwlocks(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  read_read();
}

void read_write() {
  make_rwlocks(PTHREAD_RWLOCK_PREFER_READER_NP);
  run_concurrently([] { nest(lock_p, pthread_rwlock_rdlock, lock_q, pthread_rwlock_wrlock); },
                   [] { nest(lock_q, pthread_rwlock_rdlock, lock_p, pthread_rwlock_wrlock); });
}

void read_mutex() {
  run_concurrently(
      [] {
        pthread_rwlock_rdlock(&lock_p);
        pthread_mutex_lock(&lock_a);
        pthread_mutex_unlock(&lock_a);
        pthread_rwlock_unlock(&lock_p);
      },
      [] {
        pthread_mutex_lock(&lock_a);
        pthread_rwlock_rdlock(&lock_p);
        pthread_rwlock_unlock(&lock_p);
        pthread_mutex_unlock(&lock_a);
      });
}
void read_mutex_reader() {
  make_rwlocks(PTHREAD_RWLOCK_PREFER_READER_NP);
  read_mutex();
}
void read_mutex_writer() {
  make_rwlocks(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  read_mutex();
}

void recursive_read() {
  make_rwlocks(PTHREAD_RWLOCK_PREFER_READER_NP);
  nest(lock_p, pthread_rwlock_rdlock, lock_p, pthread_rwlock_rdlock);
}

void spin_abba() {
  static pthread_spinlock_t spin_a;
  static pthread_spinlock_t spin_b;
  pthread_spin_init(&spin_a, PTHREAD_PROCESS_PRIVATE);
  pthread_spin_init(&spin_b, PTHREAD_PROCESS_PRIVATE);
  const auto nest_spins = [](pthread_spinlock_t& outer, pthread_spinlock_t& inner) {
    pthread_spin_lock(&outer);
    pthread_spin_lock(&inner);
    pthread_spin_unlock(&inner);
    pthread_spin_unlock(&outer);
  };
  static const auto nest_them = nest_spins;
  run_concurrently([] { nest_them(spin_a, spin_b); }, [] { nest_them(spin_b, spin_a); });
}

sem_t semaphore_a;
sem_t semaphore_b;

void nest_semaphores(sem_t& outer, sem_t& inner) {
  sem_wait(&outer);
  sem_wait(&inner);
  sem_post(&inner);
  sem_post(&outer);
}

void semaphore_abba() {
  sem_init(&semaphore_a, 0, 1);
  sem_init(&semaphore_b, 0, 1);
  run_concurrently([] { nest_semaphores(semaphore_a, semaphore_b); },
                   [] { nest_semaphores(semaphore_b, semaphore_a); });
}

void semaphore_mutex() {
  sem_init(&semaphore_a, 0, 1);
  run_concurrently(
      [] {
        sem_wait(&semaphore_a);
        pthread_mutex_lock(&lock_a);
        pthread_mutex_unlock(&lock_a);
        sem_post(&semaphore_a);
      },
      [] {
        pthread_mutex_lock(&lock_a);
        sem_wait(&semaphore_a);
        sem_post(&semaphore_a);
        pthread_mutex_unlock(&lock_a);
      });
}

// A semaphore that one thread waits for and another posts is no lock.
void semaphore_event() {
  sem_init(&semaphore_a, 0, 1);
  run_concurrently(
      [] {
        sem_wait(&semaphore_a);
        pthread_mutex_lock(&lock_a);
        pthread_mutex_unlock(&lock_a);
      },
      [] {
        pthread_mutex_lock(&lock_a);
        sem_post(&semaphore_a);
        sem_wait(&semaphore_a);
        pthread_mutex_unlock(&lock_a);
      });
}

pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

void wait_a_moment(pthread_mutex_t& mutex) {
  timespec until{};
  clock_gettime(CLOCK_REALTIME, &until);
  pthread_cond_timedwait(&cond, &mutex, &until);
}

void wait_under_another() {
  run_concurrently([] { with(lock_a, lock_b); },
                   [] {
                     pthread_mutex_lock(&lock_a);
                     pthread_mutex_lock(&lock_b);
                     wait_a_moment(lock_a);
                     pthread_mutex_unlock(&lock_b);
                     pthread_mutex_unlock(&lock_a);
                   });
}

void wait_alone() {
  run_concurrently([] { with(lock_a, lock_b); },
                   [] {
                     pthread_mutex_lock(&lock_a);
                     wait_a_moment(lock_a);
                     pthread_mutex_unlock(&lock_a);
                   });
}

void recursive_relock() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_t recursive;
  pthread_mutex_init(&recursive, &attributes);
  pthread_mutex_lock(&recursive);
  pthread_mutex_lock(&lock_a);
  pthread_mutex_lock(&recursive);
  pthread_mutex_unlock(&recursive);
  pthread_mutex_unlock(&lock_a);
  pthread_mutex_unlock(&recursive);
  pthread_mutex_destroy(&recursive);
}

void errorcheck_relock() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t checked;
  pthread_mutex_init(&checked, &attributes);
  pthread_mutex_lock(&checked);
  pthread_mutex_lock(&checked);
  pthread_mutex_unlock(&checked);
  pthread_mutex_destroy(&checked);
}

mtx_t c11_a;
mtx_t c11_b;

void nest_c11(mtx_t& outer, mtx_t& inner) {
  mtx_lock(&outer);
  mtx_lock(&inner);
  mtx_unlock(&inner);
  mtx_unlock(&outer);
}

void c11_abba() {
  mtx_init(&c11_a, mtx_plain);
  mtx_init(&c11_b, mtx_plain);
  run_concurrently([] { nest_c11(c11_a, c11_b); }, [] { nest_c11(c11_b, c11_a); });
}

void lock_in_handler(int) {
  pthread_mutex_lock(&lock_a);
  pthread_mutex_unlock(&lock_a);
}

// What is set can be read back; the handler did not interrupt a holder.
void handler_lock() {
  struct sigaction action {};
  struct sigaction set {};
  action.sa_handler = lock_in_handler;
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGUSR1, nullptr, &set);
  if (set.sa_handler != lock_in_handler || (set.sa_flags & SA_SIGINFO) != 0) std::exit(3);
  raise(SIGUSR1);
  pthread_mutex_lock(&lock_a);
  pthread_mutex_unlock(&lock_a);
}

// The same, with the signal blocked wherever the lock is held.
void handler_lock_blocked() {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  signal(SIGUSR1, lock_in_handler);
  raise(SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  pthread_mutex_lock(&lock_a);
  pthread_mutex_unlock(&lock_a);
  pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
  if (signal(SIGUSR1, SIG_DFL) != lock_in_handler) std::exit(3);
}

}  // namespace

const Scenario kKindScenarios[] = {
    {"read_read_reader", read_read_reader},
    {"read_read_writer", read_read_writer},
    {"read_write", read_write},
    {"read_mutex_reader", read_mutex_reader},
    {"read_mutex_writer", read_mutex_writer},
    {"recursive_read", recursive_read},
    {"spin_abba", spin_abba},
    {"semaphore_abba", semaphore_abba},
    {"semaphore_mutex", semaphore_mutex},
    {"semaphore_event", semaphore_event},
    {"wait_under_another", wait_under_another},
    {"wait_alone", wait_alone},
    {"recursive_relock", recursive_relock},
    {"errorcheck_relock", errorcheck_relock},
    {"c11_abba", c11_abba},
    {"handler_lock", handler_lock},
    {"handler_lock_blocked", handler_lock_blocked},
};
const unsigned kKindScenarioCount = sizeof kKindScenarios / sizeof *kKindScenarios;

}  // namespace scenarios
