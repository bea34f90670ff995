#pragma once
// Scenarios: small programs, one a name, each with one thing about its locks that is a bug, or that
// looks like one and is not.  run_test.cc has the table of what must be said of each.
//
// But for join_needs_lock none deadlocks: what could meet is kept apart in time, by atomics that no
// tool takes for locks.

#include <atomic>
#include <pthread.h>

namespace scenarios {

struct Scenario {
  const char* name;
  void (*run)();
};

// One thread after the other does its part, and all live until the last is done.
class Turns {
 public:
  void wait_for(int turn) {
    for (int now = at_.load(); now < turn; now = at_.load()) at_.wait(now);
  }
  void next() {
    at_.fetch_add(1);
    at_.notify_all();
  }

 private:
  std::atomic<int> at_{0};
};

// Runs both at once in threads of their own: the first before the second, neither joined between.
void run_concurrently(void (*first)(), void (*second)());
void run_concurrently(void (*first)(), void (*second)(), void (*third)());

void with(pthread_mutex_t& outer, pthread_mutex_t& inner);

extern const Scenario kOrderScenarios[];
extern const unsigned kOrderScenarioCount;
extern const Scenario kKindScenarios[];
extern const unsigned kKindScenarioCount;
extern const Scenario kLifeScenarios[];
extern const unsigned kLifeScenarioCount;

}  // namespace scenarios
