#include "daemon/stuck_worker.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace netfs::daemon {

namespace {

constexpr const char* kNotifier = "netfs-notify";
// Threads that write to the cache's disk or the log's and change nothing at an origin: what they
// are in the middle of may come to pass whenever it does.  Those of requests are not among them.
// "NAME-N" of those that are a queue's.
constexpr std::string_view kAtTheCache[] = {"netfs-store",   "netfs-commit", "netfs-cache",
                                            "netfs-control", "netfs-worker", "netfs-journal",
                                            "netfs-jwrite"};

// The name and state of a thread, as in /proc/PID/task/TID/stat: "TID (NAME) STATE ...".
struct ThreadState {
  std::string name;
  char state = '?';
};

ThreadState state_of(const std::string& stat_file) {
  std::string text;
  std::ifstream in(stat_file);
  std::getline(in, text);
  const size_t begin = text.find('(');
  const size_t end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end + 2 >= text.size()) return {};
  return {text.substr(begin + 1, end - begin - 1), text[end + 2]};
}

std::string folder_of(pid_t pid) {
  return "/proc/" + std::to_string(pid);
}

// The folders in /proc of a process's threads.
std::vector<std::string> threads_of(pid_t pid) {
  std::vector<std::string> folders;
  const std::string tasks = folder_of(pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(tasks.c_str()), ::closedir);
  if (!open) return folders;
  while (const dirent* entry = ::readdir(open.get())) {
    if (entry->d_name[0] != '.') folders.push_back(tasks + "/" + entry->d_name);
  }
  return folders;
}

bool has_ended(const ThreadState& thread) {
  return thread.state == 'Z' || thread.state == 'X' || thread.state == '?';
}

// Whether the thread is to die, and has not come to it.
bool is_killed(const std::string& folder) {
  constexpr std::string_view kPending = "SigPnd:";
  std::ifstream in(folder + "/status");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(kPending)) continue;
    const uint64_t signals = std::strtoull(line.c_str() + kPending.size(), nullptr, 16);
    return (signals >> (SIGKILL - 1) & 1) != 0;
  }
  return false;
}

}  // namespace

bool is_at_the_cache(std::string_view thread) {
  return std::any_of(std::begin(kAtTheCache), std::end(kAtTheCache), [&](std::string_view name) {
    if (!thread.starts_with(name)) return false;
    const std::string_view rest = thread.substr(name.size());
    return rest.empty() || rest.front() == '-';
  });
}

bool is_stuck_in_a_notification(pid_t worker) {
  if (state_of(folder_of(worker) + "/stat").state != 'Z') return false;
  bool notifies = false;
  for (const std::string& folder : threads_of(worker)) {
    const ThreadState thread = state_of(folder + "/stat");
    if (has_ended(thread)) continue;
    if (thread.name != kNotifier || thread.state != 'D') return false;
    notifies = true;
  }
  return notifies;
}

bool is_kept_by_its_cache(pid_t worker) {
  bool kept = false;
  for (const std::string& folder : threads_of(worker)) {
    const ThreadState thread = state_of(folder + "/stat");
    if (has_ended(thread)) continue;
    const bool waits_for_cache = is_at_the_cache(thread.name);
    if (thread.state != 'D' || !is_killed(folder)) return false;
    if (!waits_for_cache && thread.name != kNotifier) return false;
    kept = kept || waits_for_cache;
  }
  return kept;
}

int wait_status_of(pid_t dying) {
  constexpr int kFieldsFromState = 49;  // of /proc/PID/stat: from the 3rd, the state, to the 52nd
  std::string text;
  std::ifstream in(folder_of(dying) + "/stat");
  std::getline(in, text);
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return SIGKILL;
  std::istringstream fields(text.substr(end + 1));
  std::string field;
  for (int i = 0; i <= kFieldsFromState; ++i) fields >> field;
  const int status = std::atoi(field.c_str());
  return fields && status != 0 ? status : SIGKILL;  // 0: that is not for us to know
}

}  // namespace netfs::daemon
