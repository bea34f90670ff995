#include "daemon/hurry.h"

#include <filesystem>
#include <fstream>
#include <sched.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

namespace netfs::daemon {
namespace {

constexpr int kHurriedNice = -20;
// By this flag the program knows what it was begun with from what somebody has given it.
constexpr int kMarked = SCHED_OTHER | SCHED_RESET_ON_FORK;
// Whoever is lowered makes no raised threads any more: one pass sees all but those just made.
constexpr int kPassesMax = 8;

// In Linux it is the thread's.
int nice_of(pid_t thread) {
  return ::getpriority(PRIO_PROCESS, static_cast<id_t>(thread));
}

bool set_policy(int policy) {
  const sched_param none{};
  return ::sched_setscheduler(0, policy, &none) == 0;
}

bool take_on() {
  if (::sched_getscheduler(0) != kMarked || nice_of(0) != kHurriedNice) return false;
  if (set_policy(SCHED_OTHER)) return true;
  (void)::setpriority(PRIO_PROCESS, 0, 0);
  return false;
}

// How many threads were raised.
unsigned lower_process(const std::string& process) {
  unsigned lowered = 0;
  std::error_code ended;  // whoever ends meanwhile needs nothing
  const std::filesystem::directory_iterator all("/proc/" + process + "/task", ended);
  for (auto thread = begin(all); !ended && thread != end(all); thread.increment(ended)) {
    const auto id = static_cast<pid_t>(std::stol(thread->path().filename().string()));
    if (nice_of(id) == kHurriedNice && ::setpriority(PRIO_PROCESS, static_cast<id_t>(id), 0) == 0) {
      ++lowered;
    }
    std::ifstream children(thread->path() / "children");
    for (std::string child; children >> child;) lowered += lower_process(child);
  }
  return lowered;
}

}  // namespace

bool begin_hurry() {
  if (nice_of(0) != 0 || ::sched_getscheduler(0) != SCHED_OTHER) return false;
  if (::setpriority(PRIO_PROCESS, 0, kHurriedNice) != 0) return false;
  if (set_policy(kMarked)) return true;
  // A service may be forbidden policies (RestrictRealtime=).
  (void)::setpriority(PRIO_PROCESS, 0, 0);
  return false;
}

Hurry::Hurry() : is_taken_on_(take_on()) {}

void Hurry::end() {
  if (!is_taken_on_) return;
  for (int pass = 0; pass < kPassesMax && lower_process("self") > 0; ++pass) {
  }
}

}  // namespace netfs::daemon
