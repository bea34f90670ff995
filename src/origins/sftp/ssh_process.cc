#include "origins/sftp/ssh_process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <spawn.h>
#include <spdlog/fmt/fmt.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kill_process.h"

extern char** environ;

namespace netfs::origins::sftp {

namespace {

constexpr int kStopPatienceMs = 200;

std::vector<char*> to_argv(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return argv;
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("ssh.pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// In the child: descriptors 0 to 2 as given, everything else closed on exec, signals as usual.
[[noreturn]] void become(const std::vector<char*>& argv, int in, int out, int err, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  ::setsid();                               // a Ctrl-C at the terminal is ours to handle
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  // Whatever else is open here is not ssh's, even where somebody forgot O_CLOEXEC.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execvp(argv[0], argv.data());
  const int code = errno;
  ::dprintf(2, "%s: %s\n", argv[0], strerror(code));
  ::_exit(127);
}

// Output of a short command, or nothing.
std::string output_of(const std::vector<std::string>& arguments, Duration patience) {
  Result<Pipe> pipe = make_pipe();
  if (!pipe.ok()) return {};
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::vector<char*> argv = to_argv(arguments);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return {};
  if (pid == 0) become(argv, null.get(), pipe.value().write_end.get(), null.get(), parent);
  pipe.value().write_end.reset();
  std::string text;
  const auto until = Clock::system().now() + patience;
  char buffer[4096];
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::system().now());
    pollfd wait{pipe.value().read_end.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) <= 0) {
      kill_process(pid, SIGKILL);
      text.clear();
      break;
    }
    const ssize_t n = ::read(pipe.value().read_end.get(), buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  ::waitpid(pid, nullptr, 0);
  return text;
}

std::string setting(const std::string& config, std::string_view name) {
  size_t at = 0;
  while (at < config.size()) {
    const size_t end = std::min(config.find('\n', at), config.size());
    const std::string_view line(config.data() + at, end - at);
    if (line.size() > name.size() && line.substr(0, name.size()) == name &&
        line[name.size()] == ' ') {
      return std::string(line.substr(name.size() + 1));
    }
    at = end + 1;
  }
  return {};
}

}  // namespace

std::string SshTarget::name() const {
  std::string text = user.empty() ? host : user + "@" + host;
  if (port != 0) text += ":" + std::to_string(port);
  return text;
}

namespace {

// ssh expands %h and its like in file names.
std::string escaped(const std::string& path) {
  std::string text;
  for (const char c : path) text.append(c == '%' ? 2 : 1, c);
  return text;
}

std::vector<std::string> destination_options(const SshTarget& target) {
  std::vector<std::string> arguments;
  if (target.port != 0) arguments.insert(arguments.end(), {"-p", std::to_string(target.port)});
  if (!target.user.empty()) arguments.insert(arguments.end(), {"-l", target.user});
  if (!target.identity.empty()) {
    arguments.insert(arguments.end(), {"-i", escaped(target.identity), "-oIdentitiesOnly=yes"});
  }
  if (!target.known_hosts.empty()) {
    arguments.insert(arguments.end(),
                     {"-oUserKnownHostsFile=\"" + escaped(target.known_hosts) + "\"",
                      "-oGlobalKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=yes"});
  }
  return arguments;
}

}  // namespace

std::vector<std::string> ssh_arguments(const SshTarget& target) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(target.timeout).count();
  std::vector<std::string> arguments = {
      "-oBatchMode=yes", fmt::format("-oConnectTimeout={}", std::max<int64_t>(1, seconds)),
      "-oClearAllForwardings=yes", "-oForwardAgent=no", "-oForwardX11=no",
      "-oPermitLocalCommand=no", "-oRemoteCommand=none", "-oRequestTTY=no",
      // Banners stay out of what we read reasons from.
      "-oLogLevel=ERROR",
      // A master that exists is used, none is left behind.
      "-oControlMaster=no"};
  const std::vector<std::string> where = destination_options(target);
  arguments.insert(arguments.end(), where.begin(), where.end());
  return arguments;
}

std::vector<std::string> tuned_options(const SshTarget& target) {
  constexpr Duration kPatience = std::chrono::seconds(3);
  std::vector<std::string> ask = {target.program, "-G"};
  const std::vector<std::string> where = destination_options(target);
  ask.insert(ask.end(), where.begin(), where.end());
  ask.insert(ask.end(), {"--", target.host});
  const std::string config = output_of(ask, kPatience);
  if (config.empty()) return {};
  const std::string standard =
      output_of({target.program, "-F", "/dev/null", "-G", "--", target.host}, kPatience);
  std::vector<std::string> options;
  const std::string ciphers = setting(config, "ciphers");
  if (!ciphers.empty() && ciphers == setting(standard, "ciphers")) {
    options.emplace_back("-oCiphers=^aes128-gcm@openssh.com");
  }
  if (setting(config, "serveraliveinterval") == "0") {
    // sshd answers these itself, so a slow disk at the server is no dead server.  A dead one is
    // known after half of the timeout, which leaves time for another connection.
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(target.timeout).count();
    options.push_back(
        fmt::format("-oServerAliveInterval={}", std::clamp<int64_t>(seconds / 6, 1, 15)));
    options.emplace_back("-oServerAliveCountMax=2");
  }
  return options;
}

Result<SshProcess> SshProcess::start(const SshTarget& target,
                                     const std::vector<std::string>& more_options) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error::from_errno("ssh.socketpair");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  Pipe errors = TRY(make_pipe());
  std::vector<std::string> arguments = ssh_arguments(target);
  arguments.insert(arguments.begin(), more_options.begin(), more_options.end());
  arguments.insert(arguments.begin(), target.program);
  arguments.insert(arguments.end(), {"-s", "--", target.host, "sftp"});
  const std::vector<char*> argv = to_argv(arguments);
  // A socket pair between us and ssh: large buffers save wake-ups on both sides.
  const int buffer_bytes = 1 << 20;
  ::setsockopt(ours.get(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  ::setsockopt(theirs.get(), SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("ssh.fork");
  if (pid == 0) {
    become(argv, theirs.get(), theirs.get(), errors.write_end.get(), parent);
  }
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(errors.read_end.get(), F_SETFL, O_NONBLOCK);
  return SshProcess(pid, std::move(ours), std::move(errors.read_end));
}

SshProcess::~SshProcess() {
  if (pid_.value <= 0) return;
  socket_.reset();  // end of input: ssh leaves by itself if it can
  kill_process(pid_.value, SIGTERM);
  for (int waited = 0; waited < kStopPatienceMs; waited += 5) {
    if (::waitpid(pid_.value, nullptr, WNOHANG) != 0) return;
    ::poll(nullptr, 0, 5);
  }
  kill_process(pid_.value, SIGKILL);
  ::waitpid(pid_.value, nullptr, 0);
}

Error SshProcess::failure(const SshTarget& target) const {
  std::string said;
  char buffer[4096];
  // ssh closes its output before it has said why: give it a moment.
  for (int i = 0; i < 20; ++i) {
    pollfd wait{errors_.get(), POLLIN, 0};
    if (::poll(&wait, 1, 50) == 0) continue;
    const ssize_t n = ::read(errors_.get(), buffer, sizeof buffer);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) break;
    said.append(buffer, static_cast<size_t>(n));
    if (said.size() > 64 * 1024) break;
  }
  return explain_ssh_failure(target, said);
}

Error explain_ssh_failure(const SshTarget& target, const std::string& said) {
  struct Case {
    const char* sign;
    int code;
    const char* sentence;  // the first {} is the target, a second one ssh's program
  };
  static const Case kCases[] = {
      {"REMOTE HOST IDENTIFICATION HAS CHANGED", EKEYREJECTED,
       "{}: the host key has CHANGED: somebody may be listening in; if the change is known, remove "
       "the old key (ssh-keygen -R HOST)"},
      {"Host key verification failed", EKEYREJECTED,
       "{}: the host key is unknown: log in once with ssh to check and keep it, or give "
       "-o known_hosts=FILE"},
      {"Could not resolve hostname", EHOSTUNREACH, "{}: the host name does not resolve"},
      {"UNPROTECTED PRIVATE KEY FILE", EACCES,
       "{}: others may read the private key, so ssh does not use it: chmod 600 it"},
      {"Load key", EACCES,
       "{}: the identity file is no private key that ssh can use (one with a passphrase needs the "
       "agent)"},
      {"Permission denied", EACCES,
       "{}: the server refused every credential (it cannot be asked for a password here: use a key "
       "or the agent, or -o identity=FILE)"},
      {"Too many authentication failures", EACCES,
       "{}: too many keys were tried: name one with -o identity=FILE"},
      {"Connection refused", ECONNREFUSED, "{}: connection refused: is sshd running there?"},
      {"No route to host", EHOSTUNREACH, "{}: no route to the host"},
      {"Network is unreachable", ENETUNREACH, "{}: the network is unreachable"},
      {"timed out", ETIMEDOUT, "{}: the host did not answer in time"},
      {"subsystem request failed", EPROTONOSUPPORT, "{}: the server offers no SFTP subsystem"},
      {"Identity file", EACCES, "{}: the identity file cannot be used"},
      {"Connection reset", ECONNRESET, "{}: the connection was reset"},
      {"Connection closed", ECONNRESET, "{}: the server closed the connection"},
      {"No such file or directory", ENOENT, "{}: the program {} cannot be run"},
  };
  for (const Case& c : kCases) {
    if (said.find(c.sign) != std::string::npos) {
      return Error(c.code, "sftp.connect",
                   fmt::format(fmt::runtime(c.sentence), target.name(), target.program));
    }
  }
  // ssh's last line, made printable.
  std::string line = said;
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  if (const size_t start = line.rfind('\n'); start != std::string::npos) line.erase(0, start + 1);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  if (line.empty()) line = "ssh ended without a word";
  return Error(ENOTCONN, "sftp.connect", fmt::format("{}: {}", target.name(), line));
}

}  // namespace netfs::origins::sftp
