// What a program may do that has nothing to do with locks, and that must go on as without us.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

// The process ends with its last thread.
void first_thread_ends_first() {
  start([] {
    ::usleep(50'000);
    std::puts("the last");
    std::fflush(stdout);
  });
  ::pthread_exit(nullptr);
}

// The thread's function ends in a jump to operator new.
[[gnu::noinline]] void* make_number(void*) {
  return new long(42);
}
void thread_returns_new() {
  pthread_t thread;
  void* made = nullptr;
  require(::pthread_create(&thread, nullptr, make_number, nullptr), 0);
  ::pthread_join(thread, &made);
  const std::unique_ptr<long> number(static_cast<long*>(made));
  require(static_cast<int>(*number), 42);
}

void on_signal(int) {}

void signal_interrupts() {
  int ends[2];
  require(::pipe(ends), 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // old programs call it
  ::siginterrupt(SIGALRM, 1);
#pragma GCC diagnostic pop
  ::signal(SIGALRM, on_signal);
  // Again and again: the first may come before the read has begun.
  const itimerval often{.it_interval = {.tv_sec = 1, .tv_usec = 0},
                        .it_value = {.tv_sec = 0, .tv_usec = 200'000}};
  require(::setitimer(ITIMER_REAL, &often, nullptr), 0);
  char byte = 0;
  require(static_cast<int>(::read(ends[0], &byte, 1)), -1);
  require(errno, EINTR);
}

void on_info(int, siginfo_t*, void*) {}

void handlers_read_back() {
  ::signal(SIGHUP, on_signal);
  if (::sysv_signal(SIGHUP, on_signal) != on_signal) ::_exit(97);
  if (::signal(SIGHUP, SIG_DFL) != on_signal) ::_exit(97);
  struct sigaction once {};
  once.sa_handler = on_signal;
  once.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGUSR1, &once, nullptr);
  ::raise(SIGUSR1);
  struct sigaction now {};
  ::sigaction(SIGUSR1, nullptr, &now);
  if (now.sa_handler != SIG_DFL || (now.sa_flags & SA_SIGINFO) != 0) ::_exit(98);
  once.sa_sigaction = on_info;
  once.sa_flags = SA_SIGINFO;
  ::sigaction(SIGUSR2, &once, nullptr);
  ::sigaction(SIGUSR2, nullptr, &now);
  if (now.sa_sigaction != on_info || (now.sa_flags & SA_SIGINFO) == 0) ::_exit(99);
}

// The owner has died, and whoever was told so has not made it consistent: nobody gets it again, and
// nobody waits for it.
void robust_not_recoverable() {
  for (const int type : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_RECURSIVE}) {
    for (const int protocol : {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT}) {
      pthread_mutexattr_t attributes;
      ::pthread_mutexattr_init(&attributes);
      ::pthread_mutexattr_settype(&attributes, type);
      ::pthread_mutexattr_setprotocol(&attributes, protocol);
      ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
      static pthread_mutex_t mutex;
      ::pthread_mutex_init(&mutex, &attributes);
      join(start([] { ::pthread_mutex_lock(&mutex); }));
      require(::pthread_mutex_lock(&mutex), EOWNERDEAD);
      require(::pthread_mutex_unlock(&mutex), 0);
      const timespec past{};
      for (int round = 0; round < 3; ++round) {
        require(::pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
        require(::pthread_mutex_timedlock(&mutex, &past), ENOTRECOVERABLE);
      }
      ::pthread_mutex_destroy(&mutex);
    }
  }
}

// While a thread runs, the lowest numbers are free when they were closed, and given out next.
void check_low_descriptors() {
  static std::atomic<bool> over{false};
  over = false;
  const pthread_t thread = start([] {
    while (!over) ::sched_yield();
  });
  for (int round = 0; round < 2000; ++round) {
    for (int fd = 0; fd < 3; ++fd) {
      if (::write(fd, "x", 1) >= 0 || errno != EBADF) ::_exit(97);
    }
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (::open("/dev/zero", O_RDWR | O_CLOEXEC) != fd) ::_exit(98);
  }
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  over = true;
  join(thread);
}

void low_descriptors_closed() {
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  check_low_descriptors();
  // Each limit in a process of its own: of those that have had threads, the first made the socket.
  for (const rlim_t count : {900, 60, 20, 8}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const rlimit limit{.rlim_cur = count, .rlim_max = count};
      require(::setrlimit(RLIMIT_NOFILE, &limit), 0);
      check_low_descriptors();
      ::_exit(0);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    if (status != 0) ::_exit(99);
  }
}

// Once it is alone again a thread may do what is refused to others.
void alone_again() {
  join(start([] {}));
  for (int round = 0; round < 200; ++round) {
    if (::unshare(CLONE_VM) == 0) return;
    ::usleep(50'000);
  }
  ::_exit(97);
}

// Whoever closes all he does not know has the numbers for himself, whatever ends meanwhile.
void descriptors_taken_again() {
  join(start([] {}));
  ::close_range(3, ~0U, 0);
  constexpr int kFirst = 880;
  constexpr int kEnd = 920;
  const int zero = ::open("/dev/zero", O_RDONLY);
  for (int fd = kFirst; fd < kEnd; ++fd) require(::dup2(zero, fd), fd);
  ::usleep(700'000);
  for (int fd = kFirst; fd < kEnd; ++fd) require(::fcntl(fd, F_GETFD), 0);
}

// Exit handlers of a program whose first thread has left run in its last one, and get its signals.
void signals_at_exit() {
  const auto look = [] {
    sigset_t blocked;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    if (sigismember(&blocked, SIGUSR1) != 0) ::_exit(98);
  };
  require(std::atexit(look), 0);
  (void)start([] { ::usleep(50'000); });
  ::pthread_exit(nullptr);
}

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;

// Cancelled at once, wherever it is: perhaps in a report.
void cancelled_at_once() {
  static std::atomic<bool> begun{false};
  static Turns turns;
  const pthread_t first = start([] {
    with(lock_a, lock_b);
    turns.next();
    turns.wait_for(2);
  });
  turns.wait_for(1);
  const pthread_t second = start([] {
    ::pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    begun = true;
    with(lock_b, lock_a);
    for (;;) ::pause();
  });
  while (!begun) ::usleep(50);
  // While its report is made.
  ::usleep(static_cast<useconds_t>(5'000 + ::getpid() % 5 * 3'000));
  ::pthread_cancel(second);
  join(second);
  turns.next();
  join(first);
}

}  // namespace

const Scenario kAsItIsScenarios[] = {
    {"first_thread_ends_first", first_thread_ends_first},
    {"thread_returns_new", thread_returns_new},
    {"signal_interrupts", signal_interrupts},
    {"handlers_read_back", handlers_read_back},
    {"robust_not_recoverable", robust_not_recoverable},
    {"low_descriptors_closed", low_descriptors_closed},
    {"alone_again", alone_again},
    {"descriptors_taken_again", descriptors_taken_again},
    {"cancelled_at_once", cancelled_at_once},
    {"signals_at_exit", signals_at_exit},
};
const unsigned kAsItIsScenarioCount = sizeof kAsItIsScenarios / sizeof *kAsItIsScenarios;

}  // namespace scenarios
