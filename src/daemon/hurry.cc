#include "daemon/hurry.h"

#include <sched.h>
#include <sys/resource.h>

namespace netfs::daemon {
namespace {

constexpr int kHurriedNice = -20;

// In Linux it is the thread's.
int nice_of_this_thread() {
  return ::getpriority(PRIO_PROCESS, 0);
}

bool become(int policy, int nice) {
  const sched_param none{};
  return ::setpriority(PRIO_PROCESS, 0, nice) == 0 && ::sched_setscheduler(0, policy, &none) == 0;
}

}  // namespace

bool begin_hurry() {
  if (nice_of_this_thread() != 0 || ::sched_getscheduler(0) != SCHED_OTHER) return false;
  return become(SCHED_OTHER | SCHED_RESET_ON_FORK, kHurriedNice);
}

void end_hurry() {
  if (nice_of_this_thread() == kHurriedNice) (void)become(SCHED_OTHER, 0);
}

}  // namespace netfs::daemon
