// Orders of plain mutexes.

#include <mutex>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_c = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_gate = PTHREAD_MUTEX_INITIALIZER;

void a_b() {
  with(lock_a, lock_b);
}
void b_a() {
  with(lock_b, lock_a);
}

void abba() {
  run_concurrently(a_b, b_a);
}

void* in_thread(void* run) {
  reinterpret_cast<void (*)()>(run)();
  return nullptr;
}

void run_joined(void (*run)()) {
  pthread_t thread;
  pthread_create(&thread, nullptr, in_thread, reinterpret_cast<void*>(run));
  pthread_join(thread, nullptr);
}

void abba_joined() {
  run_joined(a_b);
  run_joined(b_a);
}

void abba_one_thread() {
  a_b();
  b_a();
}

void gated(void (*run)()) {
  pthread_mutex_lock(&lock_gate);
  run();
  pthread_mutex_unlock(&lock_gate);
}

void abba_gate() {
  run_concurrently([] { gated(a_b); }, [] { gated(b_a); });
}

void abba_gate_left_out_once() {
  run_concurrently([] { gated(a_b); }, [] { gated(b_a); }, b_a);
}

void three() {
  run_concurrently([] { with(lock_a, lock_b); }, [] { with(lock_b, lock_c); },
                   [] { with(lock_c, lock_a); });
}

void inner_trylock() {
  run_concurrently(a_b, [] {
    pthread_mutex_lock(&lock_b);
    if (pthread_mutex_trylock(&lock_a) == 0) pthread_mutex_unlock(&lock_a);
    pthread_mutex_unlock(&lock_b);
  });
}

void outer_trylock() {
  run_concurrently(a_b, [] {
    if (pthread_mutex_trylock(&lock_b) != 0) return;
    pthread_mutex_lock(&lock_a);
    pthread_mutex_unlock(&lock_a);
    pthread_mutex_unlock(&lock_b);
  });
}

std::mutex std_a;
std::mutex std_b;

void std_lock() {
  run_concurrently([] { const std::scoped_lock both(std_a, std_b); },
                   [] { const std::scoped_lock both(std_b, std_a); });
}

void std_lock_and_plain() {
  run_concurrently([] { const std::scoped_lock both(std_a, std_b); },
                   [] {
                     const std::lock_guard first(std_b);
                     const std::lock_guard second(std_a);
                   });
}

struct Node {
  Node() { pthread_mutex_init(&lock, nullptr); }
  ~Node() { pthread_mutex_destroy(&lock); }
  pthread_mutex_t lock;
};

Node* nodes() {
  static Node made[4];
  return made;
}

void same_site() {
  nodes();
  run_concurrently([] { with(nodes()[0].lock, nodes()[1].lock); },
                   [] { with(nodes()[3].lock, nodes()[2].lock); });
}

void same_site_same_locks() {
  nodes();
  run_concurrently([] { with(nodes()[0].lock, nodes()[1].lock); },
                   [] { with(nodes()[1].lock, nodes()[0].lock); });
}

void many_held() {
  constexpr int kLocks = 130;
  static pthread_mutex_t locks[kLocks];
  for (pthread_mutex_t& lock : locks) pthread_mutex_init(&lock, nullptr);
  for (pthread_mutex_t& lock : locks) pthread_mutex_lock(&lock);
  for (pthread_mutex_t& lock : locks) pthread_mutex_unlock(&lock);
}

void out_of_order() {
  pthread_mutex_lock(&lock_a);
  pthread_mutex_lock(&lock_b);
  pthread_mutex_lock(&lock_c);
  pthread_mutex_unlock(&lock_a);
  pthread_mutex_lock(&lock_gate);
  pthread_mutex_unlock(&lock_b);
  pthread_mutex_unlock(&lock_gate);
  pthread_mutex_unlock(&lock_c);
}

}  // namespace

const Scenario kOrderScenarios[] = {
    {"abba", abba},
    {"abba_joined", abba_joined},
    {"abba_one_thread", abba_one_thread},
    {"abba_gate", abba_gate},
    {"abba_gate_left_out_once", abba_gate_left_out_once},
    {"three", three},
    {"inner_trylock", inner_trylock},
    {"outer_trylock", outer_trylock},
    {"std_lock", std_lock},
    {"std_lock_and_plain", std_lock_and_plain},
    {"same_site", same_site},
    {"same_site_same_locks", same_site_same_locks},
    {"many_held", many_held},
    {"out_of_order", out_of_order},
};
const unsigned kOrderScenarioCount = sizeof kOrderScenarios / sizeof *kOrderScenarios;

}  // namespace scenarios
