// Locks whose memory, or whose owner, goes.

#include <cstdlib>
#include <unistd.h>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;

Turns join_turns;

// This one hangs in earnest, and is ended by who runs it, once the watchdog has looked.
void join_needs_lock() {
  alarm(60);
  pthread_t thread;
  pthread_create(
      &thread, nullptr,
      [](void*) -> void* {
        join_turns.wait_for(1);
        pthread_mutex_lock(&lock_a);
        pthread_mutex_unlock(&lock_a);
        return nullptr;
      },
      nullptr);
  pthread_mutex_lock(&lock_a);
  join_turns.next();
  pthread_join(thread, nullptr);
  pthread_mutex_unlock(&lock_a);
}

// The joined thread has said, under the lock, that it is done with the lock.
bool thread_is_done;

void join_when_done() {
  pthread_t thread;
  pthread_create(
      &thread, nullptr,
      [](void*) -> void* {
        pthread_mutex_lock(&lock_a);
        thread_is_done = true;
        pthread_mutex_unlock(&lock_a);
        join_turns.next();
        return nullptr;
      },
      nullptr);
  join_turns.wait_for(1);
  pthread_mutex_lock(&lock_a);
  if (thread_is_done) pthread_join(thread, nullptr);
  pthread_mutex_unlock(&lock_a);
}

__attribute__((noinline)) void local_then_a() {
  pthread_mutex_t local = PTHREAD_MUTEX_INITIALIZER;
  with(local, lock_a);
}
__attribute__((noinline)) void a_then_local() {
  pthread_mutex_t local = PTHREAD_MUTEX_INITIALIZER;
  with(lock_a, local);
}

// Both locks lie at the same place, one after the other.
void* stack_user(void* run) {
  reinterpret_cast<void (*)()>(run)();
  return nullptr;
}
void stack_reuse() {
  local_then_a();
  a_then_local();
  pthread_t threads[2];
  pthread_create(&threads[0], nullptr, stack_user, reinterpret_cast<void*>(local_then_a));
  pthread_join(threads[0], nullptr);
  pthread_create(&threads[1], nullptr, stack_user, reinterpret_cast<void*>(a_then_local));
  pthread_join(threads[1], nullptr);
}

struct Block {
  long head;
  pthread_mutex_t lock;
};

Block* volatile block;

void make_block() {
  block = static_cast<Block*>(calloc(1, sizeof(Block)));
}

void heap_reuse() {
  static Turns turns;
  make_block();
  run_concurrently(
      [] {
        with(block->lock, lock_a);
        free(block);
        make_block();  // at the same place, by all that is usual
      },
      [] { with(lock_a, block->lock); });
  free(block);
}

void exit_holding() {
  pthread_t thread;
  pthread_create(
      &thread, nullptr,
      [](void*) -> void* {
        pthread_mutex_lock(&lock_a);
        return nullptr;
      },
      nullptr);
  pthread_join(thread, nullptr);
}

void free_holding() {
  make_block();
  pthread_mutex_lock(&block->lock);
  free(block);
}

void destroy_holding() {
  pthread_mutex_t local;
  pthread_mutex_init(&local, nullptr);
  pthread_mutex_lock(&local);
  pthread_mutex_destroy(&local);
}

void unlock_by_other() {
  pthread_mutex_lock(&lock_a);
  pthread_t thread;
  pthread_create(
      &thread, nullptr,
      [](void*) -> void* {
        pthread_mutex_unlock(&lock_a);
        return nullptr;
      },
      nullptr);
  pthread_join(thread, nullptr);
}

void unlock_unlocked() {
  pthread_mutex_unlock(&lock_a);
}

}  // namespace

const Scenario kLifeScenarios[] = {
    {"join_needs_lock", join_needs_lock}, {"join_when_done", join_when_done},
    {"stack_reuse", stack_reuse},         {"heap_reuse", heap_reuse},
    {"exit_holding", exit_holding},       {"free_holding", free_holding},
    {"destroy_holding", destroy_holding}, {"unlock_by_other", unlock_by_other},
    {"unlock_unlocked", unlock_unlocked},
};
const unsigned kLifeScenarioCount = sizeof kLifeScenarios / sizeof *kLifeScenarios;

}  // namespace scenarios
