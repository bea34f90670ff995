#include "tests/support/process.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <spawn.h>
#include <sstream>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/assert.h"

extern char** environ;

namespace netfs::test {

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Process::Process(const std::vector<std::string>& argv, std::string output_file)
    : output_file_(std::move(output_file)) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output_file_.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int code =
      ::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) {
    status_ = 127;
    pid_ = -1;
    return;
  }
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  NETFS_ASSERT(pidfd_.get() >= 0);
}

Process::~Process() {
  if (status_) return;
  signal(SIGKILL);
  // One that hangs in the kernel is left to init rather than waited for without end.
  wait(std::chrono::seconds(10));
}

std::optional<int> Process::wait(Duration timeout) {
  if (status_) return status_;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  int ready = 0;
  do {
    ready = ::poll(&ended, 1, static_cast<int>(ms));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return std::nullopt;
  int status = 0;
  NETFS_ASSERT(::waitpid(pid_, &status, 0) == pid_);
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

void Process::signal(int number) const {
  if (!status_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

std::string Process::output() const {
  return read_text(output_file_);
}

Finished run(const std::vector<std::string>& argv, Duration timeout) {
  std::string name = "/tmp/netfs-test-run.XXXXXX";
  const UniqueFd made(::mkstemp(name.data()));
  NETFS_ASSERT(made.get() >= 0);
  Finished finished;
  {
    Process process(argv, name);
    finished.status = process.wait(timeout).value_or(-1);
    finished.output = process.output();
  }
  ::unlink(name.c_str());
  return finished;
}

std::vector<pid_t> children_of(pid_t parent) {
  const std::string id = std::to_string(parent);
  std::istringstream in(read_text("/proc/" + id + "/task/" + id + "/children"));
  return {std::istream_iterator<pid_t>(in), std::istream_iterator<pid_t>()};
}

}  // namespace netfs::test
