#include "cli/mount_command.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "cli/dead_mount.h"
#include "daemon/config_file.h"
#include "daemon/control_socket.h"
#include "daemon/launch.h"
#include "daemon/mount_checks.h"
#include "daemon/mount_words.h"
#include "daemon/owner_settings.h"
#include "daemon/packet.h"
#include "daemon/sd_notify.h"
#include "fuse/mount_table.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

using daemon::OptionMap;

constexpr const char* kCommand = "mount";
constexpr Duration kReachTimeout = std::chrono::seconds(90);  // the daemon before may be draining
constexpr Duration kSuccessorTimeout = std::chrono::seconds(20);
constexpr int kRetryMs = 20;
constexpr Duration kMountExtra = std::chrono::seconds(150);  // past the mount's own --timeout

struct Gathered {
  OptionMap options;
  bool remount = false;
  std::vector<std::string> kernel_words;
};

// Options of origins that are files; "yes" is none (netrc).
bool names_file(const std::string& name, const std::string& value) {
  static constexpr const char* kFiles[] = {
      "identity", "known_hosts", "password_file", "bearer_file", "netrc", "cert", "key", "ca_cert"};
  return value != "yes" && std::any_of(std::begin(kFiles), std::end(kFiles), [&](const char* file) {
           return name == std::string(daemon::kOriginPrefix) + file;
         });
}

// Paths in options are the user's: the daemon stands elsewhere.
void make_paths_absolute(OptionMap& options) {
  for (auto& [name, value] : options) {
    const daemon::OptionRow* row = daemon::find_option(name);
    const bool is_path =
        row != nullptr ? row->kind == daemon::OptionKind::kPath : names_file(name, value);
    if (is_path && !value.empty()) value = absolute_path(value);
  }
}

Result<Gathered> gather(const MountArguments& arguments) {
  Gathered gathered;
  std::vector<std::string> files = daemon::config_paths();
  if (!arguments.config_file.empty()) {
    files = {arguments.config_file};
    if (::access(arguments.config_file.c_str(), R_OK) != 0) {
      return Error(EINVAL, "config",
                   fmt::format("cannot read {}: {}", arguments.config_file, std::strerror(errno)));
    }
  }
  for (const std::string& file : files) {
    gathered.options = daemon::merge(std::move(gathered.options), TRY(daemon::read_config(file)));
  }
  for (const std::string& list : arguments.words) {
    daemon::MountWords words = TRY(daemon::parse_mount_words(list));
    gathered.options = daemon::merge(std::move(gathered.options), words.options);
    gathered.remount = gathered.remount || words.remount;
    gathered.kernel_words.insert(gathered.kernel_words.end(), words.kernel.begin(),
                                 words.kernel.end());
  }
  gathered.options = daemon::merge(std::move(gathered.options), arguments.flags);
  make_paths_absolute(gathered.options);
  return gathered;
}

// Never returns when it works.
ExitCode remount(const MountArguments& arguments, const std::vector<std::string>& words) {
  std::string list = "remount";
  for (const std::string& word : words) list += "," + word;
  for (const char* program : {"/usr/bin/mount", "/bin/mount"}) {
    ::execl(program, "mount", "--internal-only", "-t", "fuse.netfs", "-o", list.c_str(),
            arguments.url.c_str(), arguments.mount_point.c_str(), static_cast<char*>(nullptr));
  }
  return complain(kCommand,
                  Error(errno, "mount",
                        fmt::format("cannot run mount(8) to remount: {}", std::strerror(errno))));
}

// Each missing folder on the way, like mkdir -p; the last is private.
Result<void> make_directory(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const bool last = slash == std::string::npos;
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), last ? 0700 : 0755) != 0 && errno != EEXIST) {
      const int code = errno;
      return Error(code, "cache",
                   fmt::format("cannot make the cache directory {}: {}; choose another --cache-dir",
                               path, std::strerror(code)));
    }
    if (last) return {};
  }
}

// The daemon could only say in its log that it has none.
Result<void> check_log_file(const std::string& path) {
  if (path.empty()) return {};
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (fd) return {};
  const int code = errno;
  return Error(code, "log",
               fmt::format("cannot write the log file {}: {}", path, std::strerror(code)));
}

// The name of the daemon that owns what the options ask for, and the options with it.
Result<std::string> settle_cache(OptionMap& options) {
  const daemon::MountOptions parsed = TRY(daemon::parse_options(options));
  if (parsed.no_cache) {
    options.erase("cache-dir");
    return daemon::cacheless_owner_name();
  }
  std::string directory = parsed.cache_dir.empty() ? default_cache_dir() : parsed.cache_dir;
  if (directory.empty()) {
    return Error(EINVAL, "options", "there is no home directory: give --cache-dir or --no-cache");
  }
  TRY(make_directory(directory));
  directory = daemon::resolved(directory);
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error(ENOTDIR, "cache",
                 fmt::format("the cache directory {} is not a directory", directory));
  }
  options["cache-dir"] = directory;
  return daemon::owner_name(directory);
}

// Who is asked to end while the origin is awaited: the daemon sees that nobody waits for the mount
// any more, and takes it down.
extern "C" void give_up(int) {
  constexpr std::string_view kLine = "netfs mount: interrupted\n";
  (void)!::write(STDERR_FILENO, kLine.data(), kLine.size());
  ::_exit(static_cast<int>(ExitCode::kInterrupted));
}

void give_up_on_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    if (::signal(number, give_up) == SIG_IGN) ::signal(number, SIG_IGN);
  }
}

// Stays until the mount has ended, by whoever; a signal ends it.
ExitCode stay(const daemon::Connection& connection) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  ::sigprocmask(SIG_BLOCK, &watched, nullptr);
  const UniqueFd signals(::signalfd(-1, &watched, SFD_CLOEXEC));
  pollfd polled[2] = {{connection.socket.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
  while (::poll(polled, 2, -1) < 0 && errno == EINTR) {
  }
  if (polled[0].revents == 0) {
    daemon::sd_notify("STOPPING=1");
    // Our end of sending is how the daemon hears of it; its answer says that all is unmounted.
    ::shutdown(connection.socket.get(), SHUT_WR);
  }
  const Result<std::string> text =
      daemon::receive_message(connection.socket.get(), Deadline::within(kMountExtra));
  if (text.ok()) return ExitCode::kOk;
  return complain(kCommand,
                  Error(EIO, "mount", "the daemon ended without unmounting; see its log"));
}

bool is_mounted(const std::string& mount_point, const std::string& url) {
  const Result<std::optional<fuse::MountEntry>> there = fuse::find_mount(mount_point);
  return there.ok() && there.value() && there.value()->source == url;
}

// The worker died before it answered.  What it had only begun is undone by the supervisor, and is
// asked for again; what it had finished is served on by its successor.
Result<daemon::Response> ask_successor(const daemon::OwnerPaths& paths, daemon::Reached& reached,
                                       const daemon::Request& request, Duration timeout) {
  const Deadline deadline = Deadline::within(kSuccessorTimeout);
  while (!deadline.passed(Clock::system().now())) {
    daemon::Connection next = TRY(daemon::connect_owner(paths, deadline));
    if (!is_mounted(request.target, request.url)) {
      reached.connection = std::move(next);
      Result<daemon::Response> response =
          daemon::ask(reached.connection, request, Deadline::within(timeout));
      if (response.ok()) return response;
      continue;
    }
    const Result<daemon::Response> status =
        daemon::ask(next, {.verb = daemon::Verb::kStatus, .target = request.target}, deadline);
    // One that is to end with us must know of us, and does not.
    if (status.ok() && status.value().code == 0 && !request.attached) return daemon::Response{};
    ::poll(nullptr, 0, kRetryMs);
  }
  return Error(ETIMEDOUT, kCommand, "its successor did not either");
}

ExitCode mount_through(const daemon::OwnerPaths& paths, daemon::Reached reached,
                       const MountArguments& arguments, const OptionMap& options,
                       const daemon::MountOptions& parsed) {
  const bool attached = parsed.foreground && !reached.started_in_front;
  const daemon::Request request{.verb = daemon::Verb::kMount,
                                .url = arguments.url,
                                .target = mount_point_path(arguments.mount_point),
                                .options = options,
                                .name_space = daemon::mount_namespace(),
                                .attached = attached};
  const Duration timeout = parsed.timeout + kMountExtra;
  const bool is_there = reached.goes_on && is_mounted(request.target, request.url);
  Result<daemon::Response> response = Error(ECONNRESET, "mount");
  if (!is_there) response = daemon::ask(reached.connection, request, Deadline::within(timeout));
  if (response.is_error(ECONNRESET)) response = ask_successor(paths, reached, request, timeout);
  if (!response.ok()) {
    return complain(kCommand, Error(EIO, "mount",
                                    fmt::format("the daemon ended before it answered ({}); see "
                                                "its log",
                                                response.error().message())));
  }
  if (response.value().code != 0) return complain(kCommand, response.value());
  if (!attached) return ExitCode::kOk;
  daemon::sd_notify("READY=1");
  return stay(reached.connection);
}

// What was kept is of another cache directory where the options have changed.
void check_stored(std::optional<daemon::Stored>& stored, const daemon::MountOptions& options) {
  if (!stored) return;
  const Result<daemon::OwnerSettings> kept = daemon::decode_owner_settings(stored->mounts.settings);
  const bool is_ours = kept.ok() && kept.value().options.no_cache == options.no_cache &&
                       kept.value().options.cache_dir == options.cache_dir;
  if (is_ours) return;
  telemetry::log_warn("mount", "what the service manager has kept is of another cache: it ends");
  daemon::drop_stored(std::move(*stored));
  stored.reset();
}

ExitCode mount_and_stay(const MountArguments& arguments, daemon::TakenStored& taken) {
  Result<Gathered> gathered = gather(arguments);
  if (!gathered.ok()) return complain(kCommand, gathered.error());
  if (gathered.value().remount) return remount(arguments, gathered.value().kernel_words);
  OptionMap options = std::move(gathered.value().options);
  const Result<std::string> name = settle_cache(options);
  if (!name.ok()) return complain(kCommand, name.error());
  const Result<std::string> directory = daemon::runtime_dir();
  if (!directory.ok()) return complain(kCommand, directory.error());
  const Result<daemon::MountOptions> parsed = daemon::parse_options(options);
  if (!parsed.ok()) return complain(kCommand, parsed.error());
  const Result<void> log = check_log_file(parsed.value().log_file);
  if (!log.ok()) return complain(kCommand, log.error());
  give_up_on_signals();
  const daemon::OwnerPaths paths = daemon::owner_paths(directory.value(), name.value());
  check_stored(taken.stored, parsed.value());
  const std::string mount_point = mount_point_path(arguments.mount_point);
  if (taken.dropped && is_mounted(mount_point, arguments.url)) daemon::take_away(mount_point);
  // Where mounts are served on it may be one of those.
  if (!taken.stored) {
    const Result<void> free = take_dead_mount_away(mount_point);
    if (!free.ok()) return complain(kCommand, free.error());
  }
  daemon::LaunchPlan plan{
      .paths = paths, .options = options, .foreground = parsed.value().foreground};
  if (plan.foreground) plan.stored = &taken.stored;
  Result<daemon::Reached> reached = daemon::reach_owner(plan, Deadline::within(kReachTimeout));
  if (!reached.ok()) return complain(kCommand, reached.error());
  return mount_through(paths, std::move(reached).value(), arguments, options, parsed.value());
}

}  // namespace

ExitCode run_mount(const MountArguments& arguments) {
  daemon::TakenStored taken = daemon::take_stored();
  const ExitCode code = mount_and_stay(arguments, taken);
  // Users of what nobody serves would wait for ever.
  if (taken.stored) daemon::drop_stored(std::move(*taken.stored));
  return code;
}

}  // namespace netfs::cli
