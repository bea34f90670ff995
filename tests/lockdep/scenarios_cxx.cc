// Threads of the C++ library, all started by one function of it: what they run tells them apart.

#include <mutex>
#include <thread>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

std::mutex first_mutex;
std::mutex second_mutex;

void first_before_second() {
  const std::lock_guard<std::mutex> outer(first_mutex);
  const std::lock_guard<std::mutex> inner(second_mutex);
}
void second_before_first() {
  const std::lock_guard<std::mutex> outer(second_mutex);
  const std::lock_guard<std::mutex> inner(first_mutex);
}
struct Worker {
  void serve() { second_before_first(); }
  int number = 0;
};

// One half, in a std::thread beside another one.
template <class... Callable>
void half_of_std_thread(Callable... callable) {
  Turns turns;
  std::thread other([&turns] { turns.wait_for(1); });
  std::thread(callable...).join();
  turns.next();
  other.join();
}
void std_thread_half_ab() {
  half_of_std_thread(first_before_second);
}
void std_thread_half_ba() {
  half_of_std_thread(second_before_first);
}
void std_thread_half_ba_member() {
  Worker worker;
  half_of_std_thread(&Worker::serve, &worker);
}
void std_thread_half_ba_lambda() {
  half_of_std_thread([] { second_before_first(); });
}

}  // namespace

const Scenario kCxxScenarios[] = {
    {"std_thread_half_ab", std_thread_half_ab},
    {"std_thread_half_ba", std_thread_half_ba},
    {"std_thread_half_ba_member", std_thread_half_ba_member},
    {"std_thread_half_ba_lambda", std_thread_half_ba_lambda},
};
const unsigned kCxxScenarioCount = sizeof kCxxScenarios / sizeof *kCxxScenarios;

}  // namespace scenarios
