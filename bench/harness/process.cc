#include "harness/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sstream>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"

namespace netfs::bench {

namespace {

[[noreturn]] void become(const Command& command, int stdout_fd) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  const char* log = command.log.empty() ? "/dev/null" : command.log.c_str();
  int log_fd = ::open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  int null_fd = ::open("/dev/null", O_RDONLY);
  ::dup2(null_fd, 0);
  ::dup2(stdout_fd >= 0 ? stdout_fd : log_fd, 1);
  ::dup2(log_fd, 2);
  for (const std::string& setting : command.environment) {
    ::putenv(const_cast<char*>(setting.c_str()));
  }
  std::vector<char*> argv;
  argv.reserve(command.argv.size() + 1);
  for (const std::string& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

Result<pid_t> spawn(const Command& command, int stdout_fd) {
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("bench.fork");
  if (pid == 0) become(command, stdout_fd);
  ::setpgid(pid, pid);  // Both sides set it, so that neither runs on without it.
  return pid;
}

}  // namespace

Result<Process> Process::start(const Command& command) {
  return Process(TRY(spawn(command, -1)));
}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    stop();
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

Result<int> Process::wait(std::chrono::milliseconds timeout) {
  if (pid_ < 0) return Error(ECHILD, "bench.wait");
  UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!handle) return Error::from_errno("bench.pidfd_open");
  auto until = std::chrono::steady_clock::now() + timeout;
  pollfd entry{.fd = handle.get(), .events = POLLIN};
  for (;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    int ready = ::poll(&entry, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
    if (ready > 0) break;
    if (ready == 0) return Error(ETIMEDOUT, "bench.wait");
    if (errno != EINTR) return Error::from_errno("bench.wait");
  }
  int status = 0;
  if (::waitpid(pid_, &status, 0) < 0) return Error::from_errno("bench.waitpid");
  pid_ = -1;
  return status;
}

void Process::stop() {
  if (pid_ < 0) return;
  kill_process(pid_, SIGTERM);
  if (wait(kStopTimeout).ok() || pid_ < 0) return;
  kill_group(pid_, SIGKILL);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
}

Result<void> run(const Command& command, std::chrono::milliseconds timeout) {
  Process process = TRY(Process::start(command));
  int status = TRY(process.wait(timeout));
  if (status == 0) return {};
  std::string line;
  for (const std::string& word : command.argv) line += word + " ";
  return Error(EIO, "bench.run",
               line + "ended with status " + std::to_string(status) +
                   (command.log.empty() ? "" : "; see " + command.log));
}

Result<std::string> output_of(const Command& command, std::chrono::milliseconds timeout) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("bench.pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  pid_t pid = TRY(spawn(command, write_end.get()));
  write_end.reset();
  std::string text;
  auto until = std::chrono::steady_clock::now() + timeout;
  pollfd entry{.fd = read_end.get(), .events = POLLIN};
  char buffer[4096];
  while (std::chrono::steady_clock::now() < until) {
    if (::poll(&entry, 1, 100) <= 0) continue;
    ssize_t got = ::read(read_end.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  if (std::chrono::steady_clock::now() >= until) kill_process(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) {
    return Error(EIO, "bench.run",
                 command.argv[0] + " ended with status " + std::to_string(status));
  }
  return text;
}

std::string line_of(const std::vector<std::string>& argv, const std::string& prefix) {
  Result<std::string> text = output_of({.argv = argv}, std::chrono::seconds(10));
  if (!text.ok()) return "";
  std::istringstream lines(text.value());
  std::string line;
  while (std::getline(lines, line)) {
    if (line.compare(0, prefix.size(), prefix) == 0) return line;
  }
  return "";
}

}  // namespace netfs::bench
