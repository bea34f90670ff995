// Where a report is made: on the stack of a thread with the least that there may be, of a handler
// on a small one of its own, of a thread that was cancelled.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <unistd.h>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;

constexpr size_t kLeast = 16384;  // PTHREAD_STACK_MIN

pthread_t start_small(void* (*function)(void*), void* argument) {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kLeast);
  pthread_t thread{};
  require(::pthread_create(&thread, &attributes, function, argument), 0);
  ::pthread_attr_destroy(&attributes);
  return thread;
}

// Half of such a stack is the program's own.
void* both_ways(void* argument) {
  char own[8192];
  __asm__ volatile("" : : "r"(own) : "memory");
  auto& turns = *static_cast<Turns*>(argument);
  static std::atomic<int> next{0};
  const int turn = next.fetch_add(1);
  turns.wait_for(turn);
  if (turn == 0) {
    with(lock_a, lock_b);
  } else {
    with(lock_b, lock_a);
  }
  turns.next();
  turns.wait_for(2);
  return nullptr;
}

void abba_little_stack() {
  Turns turns;
  const pthread_t first = start_small(both_ways, &turns);
  join(start_small(both_ways, &turns));
  join(first);
}

void exit_little_stack() {
  with(lock_a, lock_b);
  join(start_small([](void*) -> void* { std::exit(0); }, nullptr));
}

// A report is no place where a thread that was cancelled ends.
void cancelled_before_report() {
  Turns turns;
  static Turns* all = &turns;
  const pthread_t first = start([] {
    with(lock_a, lock_b);
    all->next();
    all->wait_for(2);
  });
  turns.wait_for(1);
  const pthread_t second = start([] {
    ::pthread_cancel(::pthread_self());
    with(lock_b, lock_a);
    all->next();
    ::pthread_testcancel();
  });
  join(first);
  join(second);
  require(::pthread_mutex_trylock(&lock_a), 0);
  ::pthread_mutex_unlock(&lock_a);
}

void take_a(int) {
  ::pthread_mutex_lock(&lock_a);
  ::pthread_mutex_unlock(&lock_a);
}

void handler_little_stack() {
  // What the kernel puts there, and five KiB for the handler.
  const size_t least = static_cast<size_t>(std::max(::sysconf(_SC_MINSIGSTKSZ), 0L)) + 5 * 1024;
  stack_t stack{};
  stack.ss_size = std::max<size_t>(least, 8192);
  stack.ss_sp = std::malloc(stack.ss_size);
  require(::sigaltstack(&stack, nullptr), 0);
  struct sigaction action {};
  action.sa_handler = take_a;
  action.sa_flags = SA_ONSTACK;
  ::sigaction(SIGUSR1, &action, nullptr);
  take_a(0);
  ::raise(SIGUSR1);
}

}  // namespace

const Scenario kStackScenarios[] = {
    {"abba_little_stack", abba_little_stack},
    {"exit_little_stack", exit_little_stack},
    {"cancelled_before_report", cancelled_before_report},
    {"handler_little_stack", handler_little_stack},
};
const unsigned kStackScenarioCount = sizeof kStackScenarios / sizeof *kStackScenarios;

}  // namespace scenarios
