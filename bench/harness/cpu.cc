#include "harness/cpu.h"

#include <algorithm>
#include <dirent.h>
#include <fstream>
#include <stdlib.h>
#include <time.h>

namespace netfs::bench {

namespace {

// pid -> parent of every process; those that vanish meanwhile are left out.
std::map<pid_t, pid_t> all_parents() {
  std::map<pid_t, pid_t> parents;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return parents;
  while (dirent* entry = ::readdir(proc)) {
    pid_t pid = static_cast<pid_t>(::strtol(entry->d_name, nullptr, 10));
    if (pid <= 0) continue;
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(file, line);
    size_t after_name = line.rfind(')');  // The name may hold blanks and brackets itself.
    if (after_name == std::string::npos || after_name + 4 >= line.size()) continue;
    parents[pid] = static_cast<pid_t>(::strtol(line.c_str() + after_name + 4, nullptr, 10));
  }
  ::closedir(proc);
  return parents;
}

uint64_t field_kib(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, name.size(), name) == 0) {
      return ::strtoull(line.c_str() + name.size(), nullptr, 10);
    }
  }
  return 0;
}

}  // namespace

std::vector<pid_t> process_tree(const std::vector<pid_t>& roots) {
  std::map<pid_t, pid_t> parents = all_parents();
  std::vector<pid_t> tree;
  for (pid_t root : roots) {
    if (parents.count(root) != 0) tree.push_back(root);
  }
  for (size_t i = 0; i < tree.size(); ++i) {
    for (auto [pid, parent] : parents) {
      if (parent == tree[i] && std::find(tree.begin(), tree.end(), pid) == tree.end()) {
        tree.push_back(pid);
      }
    }
  }
  return tree;
}

std::map<pid_t, double> cpu_seconds_of(const std::vector<pid_t>& roots) {
  std::map<pid_t, double> used;
  if (roots.empty()) return used;
  for (pid_t pid : process_tree(roots)) {
    clockid_t clock = 0;
    timespec time{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) continue;
    used[pid] = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  }
  return used;
}

double cpu_seconds_between(const std::map<pid_t, double>& before,
                           const std::map<pid_t, double>& after) {
  double sum = 0;
  for (auto [pid, seconds] : after) {
    auto was = before.find(pid);
    sum += seconds - (was == before.end() ? 0 : was->second);
  }
  return sum;
}

Memory memory_of(const std::vector<pid_t>& roots, const std::string& name) {
  Memory memory;
  for (pid_t pid : process_tree(roots)) {
    std::string directory = "/proc/" + std::to_string(pid);
    std::ifstream file(directory + "/comm");
    std::string comm;
    std::getline(file, comm);
    if (comm.compare(0, name.size(), name) != 0) continue;
    std::string rollup = directory + "/smaps_rollup";
    memory.rss_bytes += field_kib(rollup, "Rss:") * 1024;
    memory.anonymous_bytes += field_kib(rollup, "Anonymous:") * 1024;
  }
  return memory;
}

}  // namespace netfs::bench
