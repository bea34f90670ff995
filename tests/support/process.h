#pragma once
// Process: a child program with its output in a file; run(): one that is waited for, boundedly.
//
// A child that is still there at the end is killed and reaped.  Not thread-safe.

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace netfs::test {

class Process {
 public:
  // argv[0] is looked up in PATH.  Both outputs are appended to `output_file`.
  Process(const std::vector<std::string>& argv, std::string output_file);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // The exit code, or 128 + the signal; nothing if it still runs when the time is over.
  std::optional<int> wait(Duration timeout);
  void signal(int number) const;
  [[nodiscard]] std::string output() const;

 private:
  const std::string output_file_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<int> status_;
};

struct Finished {
  int status = -1;  // exit code; 128 + signal; -1: killed because its time was over
  std::string output;
};

// Runs a program to its end; kills it when its time is over.
Finished run(const std::vector<std::string>& argv, Duration timeout);

// The children that a process has now.
std::vector<pid_t> children_of(pid_t parent);

std::string read_text(const std::string& path);

}  // namespace netfs::test
