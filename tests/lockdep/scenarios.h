#pragma once
// Scenarios: small programs, one a name, each with one thing about its locks that is a bug, or that
// looks like one and is not.  run_test.cc has the table of what must be said of each.
//
// But for join_needs_lock, fork_orphan, relock and hang none deadlocks: what could meet is kept
// apart in time, by atomics that no tool takes for locks.

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

pthread_t start(void (*run)());
void join(pthread_t thread);
// Ends the program with 96 where they differ.
void require(int got, int wanted);

// How often, for a scenario that wants to know: the second word of the command line.
extern long times;

extern const Scenario kOrderScenarios[];
extern const unsigned kOrderScenarioCount;
extern const Scenario kKindScenarios[];
extern const unsigned kKindScenarioCount;
extern const Scenario kLifeScenarios[];
extern const unsigned kLifeScenarioCount;
extern const Scenario kHardScenarios[];
extern const unsigned kHardScenarioCount;
extern const Scenario kFineScenarios[];
extern const unsigned kFineScenarioCount;
extern const Scenario kSignalScenarios[];
extern const unsigned kSignalScenarioCount;
extern const Scenario kAsItIsScenarios[];
extern const unsigned kAsItIsScenarioCount;
extern const Scenario kHeapScenarios[];
extern const unsigned kHeapScenarioCount;
extern const Scenario kProcessScenarios[];
extern const unsigned kProcessScenarioCount;
extern const Scenario kCxxScenarios[];
extern const unsigned kCxxScenarioCount;
extern const Scenario kStackScenarios[];
extern const unsigned kStackScenarioCount;

}  // namespace scenarios
