#pragma once
// CPU time and memory of processes that we did not fork ourselves: a daemon, its workers, its ssh.
//
// A process is named by the pid at the top of its tree; descendants are found in /proc at each
// look. Thread-safety: stateless.

#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace netfs::bench {

// `roots` and all their living descendants.
std::vector<pid_t> process_tree(const std::vector<pid_t>& roots);

// What each of the tree's processes has used so far, in seconds (user and system).
std::map<pid_t, double> cpu_seconds_of(const std::vector<pid_t>& roots);

// What was used between two looks.  A process that ended in between is not counted.
double cpu_seconds_between(const std::map<pid_t, double>& before,
                           const std::map<pid_t, double>& after);

struct Memory {
  uint64_t rss_bytes = 0;
  uint64_t anonymous_bytes = 0;
};

// Sums over the tree's processes whose name begins with `name`; pages they share count in each.
Memory memory_of(const std::vector<pid_t>& roots, const std::string& name);

}  // namespace netfs::bench
