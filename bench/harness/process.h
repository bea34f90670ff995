#pragma once
// Process: a child program that is waited for, and that ends with us.
//
// It runs in its own process group (a Ctrl-C reaches the harness alone) and gets SIGTERM when the
// harness dies.  The destructor sends SIGTERM, and SIGKILL after `kStopTimeout`.
// Thread-safety: one thread.
//
//   Process daemon = TRY(Process::start({.argv = {"sshfs", "-f", url, dir}, .log = log}));

#include <chrono>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/result.h"

namespace netfs::bench {

struct Command {
  std::vector<std::string> argv;         // argv[0] is looked up in PATH
  std::vector<std::string> environment;  // NAME=VALUE, added to ours
  std::string log;                       // stdout and stderr, appended; empty: /dev/null
};

class Process {
 public:
  static constexpr std::chrono::seconds kStopTimeout{20};

  static Result<Process> start(const Command& command);
  Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Process& operator=(Process&& other) noexcept;
  ~Process() { stop(); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  // The exit status as waitpid gives it; ETIMEDOUT: it still runs.
  Result<int> wait(std::chrono::milliseconds timeout);
  void stop();

 private:
  explicit Process(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

// Runs a command to its end; EIO names it and its status when that is not 0.
Result<void> run(const Command& command, std::chrono::milliseconds timeout);

// The same, and what it wrote to stdout (stderr goes to the log).
Result<std::string> output_of(const Command& command, std::chrono::milliseconds timeout);

// The first line a command prints that begins with `prefix`, or "": for versions.
std::string line_of(const std::vector<std::string>& argv, const std::string& prefix);

}  // namespace netfs::bench
