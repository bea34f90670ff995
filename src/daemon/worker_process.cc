#include "daemon/worker_process.h"

#include <array>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/hurry.h"

namespace netfs::daemon {

void reset_signals() {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE, SIGUSR1, SIGUSR2}) {
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<pid_t> start_worker(const std::vector<std::string>& command, int socket, int listener) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("fork");
  if (pid > 0) return pid;
  reset_signals();
  (void)begin_hurry();
  // Out of the way first: either may have the number the other one goes to.
  const int high_socket = ::fcntl(socket, F_DUPFD_CLOEXEC, 16);
  const int high_listener = ::fcntl(listener, F_DUPFD_CLOEXEC, 16);
  if (::dup2(high_socket, kWorkerSocketFd) < 0 || ::dup2(high_listener, kWorkerListenFd) < 0) {
    ::_exit(kCannotExec);
  }
  ::execv(arguments[0], arguments.data());
  ::_exit(kCannotExec);
}

std::string describe_death(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return fmt::format("was killed by signal {} ({})", WTERMSIG(wait_status),
                       ::strsignal(WTERMSIG(wait_status)));
  }
  return fmt::format("ended with code {}", WEXITSTATUS(wait_status));
}

}  // namespace netfs::daemon
