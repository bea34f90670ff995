// Signal handlers that lock, and that are left in other ways than by returning.

#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <sys/mman.h>
#include <sys/time.h>

#include "tests/lockdep/scenarios.h"

namespace scenarios {

namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;

void take_a(int) {
  ::pthread_mutex_lock(&lock_a);
  ::pthread_mutex_unlock(&lock_a);
}

sigset_t set_of(int signal) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  return set;
}

// The mask of another signal is no excuse.
void handler_lock_other_blocked() {
  const sigset_t other = set_of(SIGUSR2);
  ::signal(SIGUSR1, take_a);
  ::pthread_sigmask(SIG_BLOCK, &other, nullptr);
  take_a(0);
  ::raise(SIGUSR1);
}

// Two handlers share a lock, and each blocks the other's signal by its sa_mask.
void handler_mask() {
  struct sigaction action {};
  action.sa_handler = take_a;
  action.sa_mask = set_of(SIGUSR2);
  ::sigaction(SIGUSR1, &action, nullptr);
  action.sa_mask = set_of(SIGUSR1);
  ::sigaction(SIGUSR2, &action, nullptr);
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
}

// The same without: the second may come while the first has the lock.
void handler_mask_missing() {
  ::signal(SIGUSR1, take_a);
  ::signal(SIGUSR2, take_a);
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
}

sigjmp_buf before;

void jump_out(int) {
  ::siglongjmp(before, 1);
}

// Once it has jumped out of the handler, the thread is in none: what it locks may be locked with
// the signal unblocked.
void jump_out_of(int flags) {
  struct sigaction action {};
  action.sa_handler = jump_out;
  action.sa_flags = flags;
  ::sigaction(SIGUSR1, &action, nullptr);
  with(lock_a, lock_b);
  for (int round = 0; round < 3; ++round) {
    if (::sigsetjmp(before, 1) == 0) ::raise(SIGUSR1);
    with(lock_a, lock_b);
  }
}

void handler_jump() {
  jump_out_of(0);
}

void handler_jump_from_other_stack() {
  stack_t stack{};
  stack.ss_size = 1 << 16;
  stack.ss_sp = std::malloc(stack.ss_size);
  ::sigaltstack(&stack, nullptr);
  jump_out_of(SA_ONSTACK);
}

// A page that must not be touched; who does comes to a handler that opens it.
constexpr size_t kPageBytes = 4096;
char* page = nullptr;

void open_page_under_a(int) {
  ::pthread_mutex_lock(&lock_a);
  ::mprotect(page, kPageBytes, PROT_READ | PROT_WRITE);
  ::pthread_mutex_unlock(&lock_a);
}

void touch_page() {
  if (page == nullptr) {
    page = static_cast<char*>(
        ::mmap(nullptr, kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  ::mprotect(page, kPageBytes, PROT_NONE);
  *static_cast<volatile char*>(page) = 1;
}

// A fault comes where it is made, and nobody makes one under A.
void fault_handler_lock() {
  ::signal(SIGSEGV, open_page_under_a);
  take_a(0);
  for (int round = 0; round < 3; ++round) touch_page();
  take_a(0);
}

// What its handler locks is taken under what is held at the fault.
void fault_abba() {
  ::signal(SIGSEGV, open_page_under_a);
  run_concurrently(
      [] {
        ::pthread_mutex_lock(&lock_b);
        touch_page();
        ::pthread_mutex_unlock(&lock_b);
      },
      [] { with(lock_a, lock_b); });
}

// The same signal, sent: that may come at any place.
void fault_sent() {
  ::signal(SIGSEGV, take_a);
  take_a(0);
  ::raise(SIGSEGV);
}

// Out of the handler by a jump: the signal is not blocked any more, and may be sent.
void fault_jump() {
  ::signal(SIGSEGV, jump_out);
  if (::sigsetjmp(before, 1) == 0) touch_page();
  take_a(0);
  fault_sent();
}

// A report for each of these is made where a handler ends, and most interrupt malloc.
pthread_mutex_t many[100];
volatile sig_atomic_t many_at = 0;
constexpr int kMany = sizeof many / sizeof *many;

void take_next(int) {
  const int at = many_at;
  if (at == kMany) return;
  ::pthread_mutex_lock(&many[at]);
  ::pthread_mutex_unlock(&many[at]);
  many_at = at + 1;
}

void handler_in_malloc() {
  for (pthread_mutex_t& one : many) {
    ::pthread_mutex_lock(&one);
    ::pthread_mutex_unlock(&one);
  }
  ::signal(SIGALRM, take_next);
  // Armed once for each: a timer that repeats while a report is made strikes at the same place
  // again.
  const itimerval soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 300}};
  int armed = -1;
  void* blocks[64] = {};
  for (unsigned next = 0; many_at < kMany; next = next * 1103515245 + 12345) {
    if (armed != many_at) {
      armed = many_at;
      ::setitimer(ITIMER_REAL, &soon, nullptr);
    }
    void*& block = blocks[next / 65536 % 64];
    std::free(block);
    block = std::malloc(1100 + next / 256 % 5000);  // too large for what each thread keeps at hand
  }
  for (void* block : blocks) std::free(block);
}

}  // namespace

const Scenario kSignalScenarios[] = {
    {"handler_lock_other_blocked", handler_lock_other_blocked},
    {"handler_mask", handler_mask},
    {"handler_mask_missing", handler_mask_missing},
    {"handler_jump", handler_jump},
    {"handler_jump_from_other_stack", handler_jump_from_other_stack},
    {"handler_in_malloc", handler_in_malloc},
    {"fault_handler_lock", fault_handler_lock},
    {"fault_abba", fault_abba},
    {"fault_sent", fault_sent},
    {"fault_jump", fault_jump},
};
const unsigned kSignalScenarioCount = sizeof kSignalScenarios / sizeof *kSignalScenarios;

}  // namespace scenarios
