#include "daemon/launch.h"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/control_socket.h"
#include "daemon/owner_settings.h"
#include "daemon/supervisor.h"
#include "daemon/version.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr int kRetryMs = 20;
constexpr int kLaunchesMax = 3;

// What the supervisor needs of the process that starts it.
struct Ownership {
  UniqueFd lock;
  UniqueFd listener;
};

int supervise(Ownership ownership, const LaunchPlan& plan, const std::string& log_file,
              pid_t client) {
  // A log that nobody asked for is kept only where something went wrong.
  const bool unasked = log_file == plan.paths.log;
  Supervisor::Options options{.listener = std::move(ownership.listener),
                              .settings = encode_owner_settings(plan.options, log_file),
                              .command = {"/proc/self/exe", "worker"},
                              .client = client,
                              .belongings = {.lock = std::move(ownership.lock),
                                             .lock_path = plan.paths.lock,
                                             .socket_path = plan.paths.socket,
                                             .log_path = unasked ? plan.paths.log : ""}};
  if (plan.stored != nullptr && *plan.stored) {
    Stored& stored = **plan.stored;
    options.settings = stored.mounts.settings;
    options.stored = std::move(stored.mounts);
    options.store = std::move(stored.store);
  }
  return Supervisor(std::move(options)).run();
}

void close_all_but(int one, int other) {
  const auto low = static_cast<unsigned>(std::min(one, other));
  const auto high = static_cast<unsigned>(std::max(one, other));
  if (low > 3) ::close_range(3, low - 1, 0);
  if (high > low + 1) ::close_range(low + 1, high - 1, 0);
  ::close_range(high + 1, ~0U, 0);
}

void redirect(const std::string& log_file) {
  const int null = ::open("/dev/null", O_RDWR);
  const int log = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(null, STDIN_FILENO);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(log >= 0 ? log : null, STDERR_FILENO);
}

std::string log_file_of(const LaunchPlan& plan) {
  const auto given = plan.options.find("log-file");
  if (given != plan.options.end()) return given->second;
  return plan.foreground ? "" : plan.paths.log;
}

// A process of its own, child of init: nobody waits for it and no terminal ends it.
Result<void> start_behind(Ownership ownership, const LaunchPlan& plan) {
  const pid_t between = ::fork();
  if (between < 0) return Error::from_errno("fork");
  if (between > 0) {
    while (::waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
    }
    return {};
  }
  ::setsid();
  // The service manager's notes are about whoever started us.
  for (const char* variable : {"NOTIFY_SOCKET", "FDSTORE"}) ::unsetenv(variable);
  const pid_t supervisor = ::fork();
  if (supervisor != 0) ::_exit(supervisor < 0 ? 1 : 0);
  const std::string log_file = log_file_of(plan);
  if (log_file == plan.paths.log) ::unlink(log_file.c_str());
  redirect(log_file);
  close_all_but(ownership.lock.get(), ownership.listener.get());
  if (::chdir("/") != 0) ::_exit(1);
  ::_exit(supervise(std::move(ownership), plan, log_file, -1));
}

// Returns in the child only.
Result<void> start_in_front(Ownership ownership, const LaunchPlan& plan) {
  const pid_t client = ::fork();
  if (client < 0) return Error::from_errno("fork");
  if (client == 0) {
    if (plan.stored != nullptr) plan.stored->reset();  // the supervisor has its descriptors
    return {};
  }
  std::exit(supervise(std::move(ownership), plan, log_file_of(plan), client));
}

Error other_version(const Hello& hello) {
  return Error(EPROTONOSUPPORT, "control",
               fmt::format("{} is owned by netfs {} (pid {}), and this is netfs {}; run netfs "
                           "upgrade, unmount what it has mounted, or choose another --cache-dir",
                           hello.cache_dir.empty() ? "the mount" : hello.cache_dir, hello.version,
                           hello.pid, kVersion));
}

}  // namespace

Result<Connection> connect_owner(const OwnerPaths& paths, Deadline deadline, Version which) {
  Connection connection{.socket = TRY(connect_control(paths.socket)), .hello = {}};
  const std::string text = TRY(receive_message(connection.socket.get(), deadline));
  connection.hello = TRY(decode_hello(text));
  const bool is_ours = connection.hello.version == kVersion || which == Version::kAny;
  if (!is_ours || connection.hello.protocol != kControlProtocol) {
    return other_version(connection.hello);
  }
  return connection;
}

Result<Response> ask(const Connection& connection, const Request& request, Deadline deadline) {
  TRY(send_message(connection.socket.get(), encode(request), deadline));
  const std::string text = TRY(receive_message(connection.socket.get(), deadline));
  return decode_response(text);
}

Result<Reached> reach_owner(const LaunchPlan& plan, Deadline deadline) {
  int launches = 0;
  bool started_in_front = false;
  const bool goes_on = plan.stored != nullptr && plan.stored->has_value();
  while (!deadline.passed(Clock::system().now())) {
    Result<Connection> connection = connect_owner(plan.paths, deadline);
    if (connection.ok()) {
      return Reached{std::move(connection).value(), started_in_front, started_in_front && goes_on};
    }
    const int code = connection.code();
    if (code != ENOENT && code != ECONNREFUSED && code != ECONNRESET && code != EAGAIN) {
      return connection.error();
    }
    std::optional<UniqueFd> lock = TRY(try_lock_owner(plan.paths));
    if (!lock) {
      ::poll(nullptr, 0, kRetryMs);
      continue;
    }
    if (started_in_front || ++launches > kLaunchesMax) break;  // ours has died
    Ownership ownership{std::move(*lock), TRY(listen_control(plan.paths.socket))};
    if (plan.foreground) {
      TRY(start_in_front(std::move(ownership), plan));
      started_in_front = true;
    } else {
      TRY(start_behind(std::move(ownership), plan));
    }
  }
  return Error(ETIMEDOUT, "control",
               fmt::format("the daemon does not answer; its log is {}",
                           plan.foreground ? "above" : log_file_of(plan)));
}

}  // namespace netfs::daemon
