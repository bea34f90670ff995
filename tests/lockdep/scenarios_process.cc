// Whole processes: forks, exec, their end, very many threads and locks, and one that hangs.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "tests/lockdep/scenarios.h"

namespace scenarios {

namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;

void require_child(pid_t child) {
  int status = -1;
  ::waitpid(child, &status, 0);
  require(status, 0);
}

void fork_locks_all() {
  ::pthread_atfork([] { ::pthread_mutex_lock(&lock_a); }, [] { ::pthread_mutex_unlock(&lock_a); },
                   [] { ::pthread_mutex_unlock(&lock_a); });
  const pid_t child = ::fork();
  if (child == 0) {
    with(lock_a, lock_b);
    ::_exit(0);
  }
  require_child(child);
}

void fork_then_abba() {
  const pid_t child = ::fork();
  if (child == 0) {
    run_concurrently([] { with(lock_a, lock_b); }, [] { with(lock_b, lock_a); });
    ::_exit(0);
  }
  require_child(child);
}

// Whether a process sleeps: it does not run, nor wait for the processor or for a disk.
bool sleeps(pid_t pid) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* file = std::fopen(path, "re");
  if (file == nullptr) ::_exit(95);
  char state = 0;
  const int fields = std::fscanf(file, "%*d (%*[^)]) %c", &state);
  std::fclose(file);
  return fields == 1 && state == 'S';
}

// By then it has said what there is to say, and waits for its lock: making a report is work.
void wait_until_it_sleeps(pid_t pid) {
  int in_a_row = 0;
  for (int round = 0; round < 6000 && in_a_row < 10; ++round) {
    ::usleep(10'000);
    in_a_row = sleeps(pid) ? in_a_row + 1 : 0;
  }
}

// The child waits for a lock of a thread that it has not.
void fork_orphan() {
  static Turns turns;
  const pthread_t holder = start([] {
    ::pthread_mutex_lock(&lock_a);
    turns.next();
    turns.wait_for(2);
    ::pthread_mutex_unlock(&lock_a);
  });
  turns.wait_for(1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(120);  // should nobody end it
    ::pthread_mutex_lock(&lock_a);
    ::_exit(0);
  }
  wait_until_it_sleeps(child);
  require(netfs::kill_process(child, SIGALRM), 0);
  int status = 0;
  ::waitpid(child, &status, 0);
  require(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGALRM);
  turns.next();
  join(holder);
}

constexpr int kPairs = 24;
pthread_mutex_t many[2 * kPairs];  // zero is an unlocked one; each of them is a class

// A thread reports one inversion after the other, another forks meanwhile; the children find
// something to report as well.
void fork_while_reporting() {
  ::alarm(200);
  run_concurrently(
      [] {
        for (int i = 0; i < kPairs; ++i) with(many[2 * i], many[2 * i + 1]);
      },
      [] {
        const pthread_t reporter = start([] {
          for (int i = 1; i < kPairs; ++i) with(many[2 * i + 1], many[2 * i]);
        });
        for (int round = 0; round < 5; ++round) {
          const pid_t child = ::fork();
          if (child == 0) {
            ::alarm(100);
            with(many[1], many[0]);
            join(start([] { with(lock_a, lock_b); }));
            ::_exit(0);
          }
          require_child(child);
        }
        join(reporter);
      });
}

void exec_abba() {
  with(lock_a, lock_b);
  ::execl("/proc/self/exe", "scenarios", "abba", nullptr);
  ::_exit(95);
}

// Threads go on locking while main returns and destructors run.
void exit_while_threads_run() {
  static Turns turns;
  for (int i = 0; i < 4; ++i) {
    ::pthread_detach(start([] {
      for (long round = 0;; ++round) {
        with(lock_a, lock_b);
        if (round == 100) turns.next();
      }
    }));
  }
  turns.wait_for(4);
}

struct LocksAtTheEnd {
  ~LocksAtTheEnd() { with(lock_b, lock_a); }
};

// Destructors of static objects run after the tool's own end.
void lock_at_the_end() {
  static LocksAtTheEnd locks;
  with(lock_a, lock_b);
}

void ten_thousand_threads() {
  constexpr int kAtOnce = 500;
  pthread_t threads[kAtOnce];
  for (int begun = 0; begun < 10'000; begun += kAtOnce) {
    for (pthread_t& thread : threads) thread = start([] { with(lock_a, lock_b); });
    for (const pthread_t thread : threads) join(thread);
  }
}

long resident_bytes() {
  long pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr || std::fscanf(file, "%*d %ld", &pages) != 1) ::_exit(95);
  std::fclose(file);
  return pages * ::sysconf(_SC_PAGESIZE);
}

// Prints what a lock costs beside its own memory.
void million_locks() {
  constexpr long kLocks = 1'000'000;
  struct Object {
    long before = 1;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  };
  std::vector<std::unique_ptr<Object>> objects(kLocks);
  for (auto& object : objects) object = std::make_unique<Object>();
  const long before = resident_bytes();
  for (const auto& object : objects) {
    ::pthread_mutex_lock(&object->lock);
    ::pthread_mutex_unlock(&object->lock);
  }
  std::printf("%ld\n", (resident_bytes() - before) / kLocks);
  std::fflush(stdout);
  ::_exit(0);
}

// What scripts/lockdep-cost measures.
void pairs() {
  join(start([] {
    for (long i = 0; i < times; ++i) {
      ::pthread_mutex_lock(&lock_a);
      ::pthread_mutex_unlock(&lock_a);
    }
  }));
}

// In earnest: whoever runs it ends it.
void hang() {
  static Turns turns;
  ::alarm(60);
  const auto both = [](pthread_mutex_t& first, pthread_mutex_t& second) {
    ::pthread_mutex_lock(&first);
    turns.next();
    turns.wait_for(2);
    ::pthread_mutex_lock(&second);
  };
  static const auto lock_both = both;
  const pthread_t one = start([] { lock_both(lock_a, lock_b); });
  const pthread_t other = start([] { lock_both(lock_b, lock_a); });
  join(one);
  join(other);
}

void half_ab() {
  run_concurrently([] { with(lock_a, lock_b); }, [] {});
}
void half_ba() {
  run_concurrently([] { with(lock_b, lock_a); }, [] {});
}

}  // namespace

const Scenario kProcessScenarios[] = {
    {"fork_locks_all", fork_locks_all},
    {"fork_then_abba", fork_then_abba},
    {"fork_orphan", fork_orphan},
    {"fork_while_reporting", fork_while_reporting},
    {"exec_abba", exec_abba},
    {"exit_while_threads_run", exit_while_threads_run},
    {"lock_at_the_end", lock_at_the_end},
    {"ten_thousand_threads", ten_thousand_threads},
    {"million_locks", million_locks},
    {"pairs", pairs},
    {"hang", hang},
    {"half_ab", half_ab},
    {"half_ba", half_ba},
};
const unsigned kProcessScenarioCount = sizeof kProcessScenarios / sizeof *kProcessScenarios;

}  // namespace scenarios
