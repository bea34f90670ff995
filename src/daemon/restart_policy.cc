#include "daemon/restart_policy.h"

#include <algorithm>
#include <csignal>
#include <sys/wait.h>

namespace netfs::daemon {

namespace {

void note(std::deque<MonoTime>& deaths, MonoTime now) {
  while (!deaths.empty() && now - deaths.front() > RestartPolicy::kWindow) deaths.pop_front();
  deaths.push_back(now);
}

}  // namespace

std::optional<Duration> RestartPolicy::died(int wait_status, MonoTime now) {
  if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL) {
    note(kills_, now);
    if (kills_.size() > kKillsMax) return std::nullopt;
    return Duration(0);
  }
  note(crashes_, now);
  if (crashes_.size() > kCrashesMax) return std::nullopt;
  const auto doublings = static_cast<int>(crashes_.size()) - 1;
  return std::min(kDelayMax, kDelayMin * (int64_t{1} << doublings));
}

}  // namespace netfs::daemon
