#include "fuse/mount_helper.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <spdlog/fmt/fmt.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

extern char** environ;

namespace netfs::fuse {

namespace {

constexpr const char* kHelper = "fusermount3";
constexpr int kCommFd = 3;  // where the child finds the socket

struct Outcome {
  int status = 0;    // of waitpid
  std::string said;  // on standard error
};

// Descriptors that posix_spawn gives to the child.
class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  void give(int ours, int theirs) { ::posix_spawn_file_actions_adddup2(&actions_, ours, theirs); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// A copy above the numbers that the child is given, lest one dup2 overwrite the next one's source.
Result<UniqueFd> moved_up(UniqueFd fd) {
  UniqueFd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kCommFd + 1));
  if (!high) return Error::from_errno("fuse.helper");
  return high;
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 512> chunk;
  while (true) {
    const ssize_t length = ::read(fd, chunk.data(), chunk.size());
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    text.append(chunk.data(), static_cast<size_t>(length));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

// Runs the helper to its end; it is short-lived, and its end closes both pipes.
Result<Outcome> run_helper(const std::vector<std::string>& arguments, UniqueFd comm) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("fuse.helper");
  const UniqueFd errors(ends[0]);
  UniqueFd child_errors = TRY(moved_up(UniqueFd(ends[1])));
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> env;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("_FUSE_COMMFD=")) env.push_back(*variable);
  }
  std::string comm_variable = fmt::format("_FUSE_COMMFD={}", kCommFd);
  SpawnActions actions;
  actions.give(child_errors.get(), STDERR_FILENO);
  if (comm) {
    actions.give(comm.get(), kCommFd);
    env.push_back(comm_variable.data());
  }
  env.push_back(nullptr);
  pid_t pid = 0;
  const int code = ::posix_spawnp(&pid, kHelper, actions.get(), nullptr, argv.data(), env.data());
  if (code != 0) {
    return Error(ENOEXEC, "fuse.helper",
                 "fusermount3 cannot be run: install the package fuse3, or mount as root");
  }
  child_errors.reset();
  comm.reset();
  Outcome outcome;
  outcome.said = read_all(errors.get());
  while (::waitpid(pid, &outcome.status, 0) < 0) {
    if (errno != EINTR) return Error::from_errno("fuse.helper");
  }
  return outcome;
}

Error helper_error(const Outcome& outcome, const std::string& mount_point, const char* verb) {
  const std::string said = outcome.said.empty() ? "no reason given" : outcome.said;
  return {EPERM, "fuse.helper", fmt::format("{} {}: {}", verb, mount_point, said)};
}

// The descriptor in the one message that waits in the socket; empty when there is none.
UniqueFd receive_fd(int socket) {
  char byte = 0;
  iovec piece{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t length = 0;
  do {
    length = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (length <= 0 || header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

}  // namespace

Result<UniqueFd> helper_mount(const std::string& mount_point, const std::string& options) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error::from_errno("fuse.helper");
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs = TRY(moved_up(UniqueFd(ends[1])));
  const Outcome outcome =
      TRY(run_helper({kHelper, "-o", options, "--", mount_point}, std::move(theirs)));
  if (outcome.status != 0) return helper_error(outcome, mount_point, "mounting on");
  UniqueFd device = receive_fd(ours.get());
  if (!device) return helper_error(outcome, mount_point, "mounting on");
  return device;
}

Result<void> helper_unmount(const std::string& mount_point, bool lazy) {
  std::vector<std::string> arguments{kHelper, "-u"};
  if (lazy) arguments.emplace_back("-z");
  arguments.emplace_back("--");
  arguments.push_back(mount_point);
  const Outcome outcome = TRY(run_helper(arguments, {}));
  if (outcome.status != 0) return helper_error(outcome, mount_point, "unmounting");
  return {};
}

}  // namespace netfs::fuse
