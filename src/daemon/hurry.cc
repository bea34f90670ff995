#include "daemon/hurry.h"

#include <sched.h>
#include <sys/resource.h>

namespace netfs::daemon {
namespace {

constexpr int kHurriedNice = -20;
constexpr int kHurriedPolicy = SCHED_OTHER | SCHED_RESET_ON_FORK;

// In Linux it is the thread's.
int nice_of_this_thread() {
  return ::getpriority(PRIO_PROCESS, 0);
}

bool set_policy(int policy) {
  const sched_param none{};
  return ::sched_setscheduler(0, policy, &none) == 0;
}

}  // namespace

bool begin_hurry() {
  if (nice_of_this_thread() != 0 || ::sched_getscheduler(0) != SCHED_OTHER) return false;
  if (::setpriority(PRIO_PROCESS, 0, kHurriedNice) != 0) return false;
  if (set_policy(kHurriedPolicy)) return true;
  // A service may be forbidden policies (RestrictRealtime=): what it starts would be raised, too.
  (void)::setpriority(PRIO_PROCESS, 0, 0);
  return false;
}

void end_hurry() {
  if (::sched_getscheduler(0) != kHurriedPolicy) return;
  (void)::setpriority(PRIO_PROCESS, 0, 0);
  (void)set_policy(SCHED_OTHER);
}

}  // namespace netfs::daemon
