// scenarios NAME [TIMES]: runs one.  Without a name: lists them.

#include "tests/lockdep/scenarios.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <unistd.h>

namespace scenarios {

namespace {

struct Part {
  void (*run)();
  Turns* turns;
  int turn;
  int all;
};

void* run_part(void* argument) {
  const Part& part = *static_cast<Part*>(argument);
  part.turns->wait_for(part.turn);
  part.run();
  part.turns->next();
  part.turns->wait_for(part.all);
  return nullptr;
}

void run_parts(std::span<void (*const)()> runs) {
  Turns turns;
  Part parts[3];
  pthread_t threads[3];
  for (size_t i = 0; i < runs.size(); ++i) {
    parts[i] = {runs[i], &turns, static_cast<int>(i), static_cast<int>(runs.size())};
    pthread_create(&threads[i], nullptr, run_part, &parts[i]);
  }
  for (size_t i = 0; i < runs.size(); ++i) pthread_join(threads[i], nullptr);
}

}  // namespace

long times = 1000;

void run_concurrently(void (*first)(), void (*second)()) {
  void (*const runs[])() = {first, second};
  run_parts(runs);
}

void run_concurrently(void (*first)(), void (*second)(), void (*third)()) {
  void (*const runs[])() = {first, second, third};
  run_parts(runs);
}

pthread_t start(void (*run)()) {
  pthread_t thread{};
  require(::pthread_create(
              &thread, nullptr,
              [](void* argument) -> void* {
                reinterpret_cast<void (*)()>(argument)();
                return nullptr;
              },
              reinterpret_cast<void*>(run)),
          0);
  return thread;
}

void join(pthread_t thread) {
  ::pthread_join(thread, nullptr);
}

void require(int got, int wanted) {
  if (got != wanted) ::_exit(96);
}

void with(pthread_mutex_t& outer, pthread_mutex_t& inner) {
  pthread_mutex_lock(&outer);
  pthread_mutex_lock(&inner);
  pthread_mutex_unlock(&inner);
  pthread_mutex_unlock(&outer);
}

}  // namespace scenarios

int main(int argc, char** argv) {
  using scenarios::Scenario;
  const std::span<const Scenario> all[] = {
      {scenarios::kOrderScenarios, scenarios::kOrderScenarioCount},
      {scenarios::kKindScenarios, scenarios::kKindScenarioCount},
      {scenarios::kLifeScenarios, scenarios::kLifeScenarioCount},
      {scenarios::kHardScenarios, scenarios::kHardScenarioCount},
      {scenarios::kFineScenarios, scenarios::kFineScenarioCount},
      {scenarios::kSignalScenarios, scenarios::kSignalScenarioCount},
      {scenarios::kAsItIsScenarios, scenarios::kAsItIsScenarioCount},
      {scenarios::kHeapScenarios, scenarios::kHeapScenarioCount},
      {scenarios::kProcessScenarios, scenarios::kProcessScenarioCount},
      {scenarios::kStackScenarios, scenarios::kStackScenarioCount},
      {scenarios::kCxxScenarios, scenarios::kCxxScenarioCount}};
  if (argc > 2) scenarios::times = std::atol(argv[2]);
  for (const std::span<const Scenario> part : all) {
    for (const Scenario& scenario : part) {
      if (argc < 2) {
        std::puts(scenario.name);
      } else if (std::strcmp(argv[1], scenario.name) == 0) {
        scenario.run();
        return 0;
      }
    }
  }
  return argc < 2 ? 0 : 2;
}
