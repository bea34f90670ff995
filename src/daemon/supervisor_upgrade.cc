// How a supervisor hands its mounts to another program: the worker first, and then what it is
// itself.
//
// 1. kProbing: the program is asked whether it can go on with what is here (program_probe.h).
// 2. kDraining: the worker answers what it has read, reads no more, and ends.
// 3. kStarting: a worker of the new program takes the mounts over, until it serves each.
// 4. kTrial: it has to live for a while.  Whoever asked is answered then.
// 5. This process becomes the new program, with all it holds.
// Whatever goes wrong before the answer leaves, or brings back, the program that was there.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <utility>

#include "base/kill_process.h"
#include "daemon/control_message.h"
#include "daemon/control_socket.h"
#include "daemon/mount_state.h"
#include "daemon/supervisor.h"
#include "daemon/version.h"
#include "origins/url.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr Duration kProbeTimeout = std::chrono::seconds(10);
constexpr Duration kOldEndsTimeout = std::chrono::seconds(10);  // the worker's own is shorter
constexpr Duration kNewStartsTimeout = std::chrono::seconds(60);
constexpr Duration kTrial = std::chrono::seconds(2);
constexpr Duration kAnswerTimeout = std::chrono::seconds(1);

std::string path_of(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

std::string count_of(size_t mounts) {
  return fmt::format("{} {}", mounts, mounts == 1 ? "mount" : "mounts");
}

// Whether this process is another program than that one.
bool is_another(int program) {
  struct stat ours {};
  struct stat theirs {};
  const bool known = ::stat("/proc/self/exe", &ours) == 0 && ::fstat(program, &theirs) == 0;
  return !known || ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino;
}

void outlive_exec(const std::vector<int>& fds, bool outlives) {
  for (const int fd : fds) ::fcntl(fd, F_SETFD, outlives ? 0 : FD_CLOEXEC);
}

}  // namespace

void Supervisor::answer_upgrade(int client, const Response& response) {
  const Deadline soon = Deadline::after(Clock::system(), kAnswerTimeout);
  const Result<void> sent = send_message(client, encode(response), soon);
  if (!sent.ok()) shout(fmt::format("who asked for an upgrade has gone: {}", response.line));
}

// The program that was there serves on.
void Supervisor::refuse_upgrade(int client, const std::string& path, const Error& why) {
  Response response = failure(why);
  response.exit = ExitCode::kFailure;
  response.line = fmt::format("{}: {}; netfs {} serves on", path, why.message(), worker_version_);
  shout("upgrade: " + response.line);
  answer_upgrade(client, response);
}

// The schemes of all mounts; an error where one of them cannot be handed over.
Result<std::vector<std::string>> Supervisor::schemes_held() const {
  std::vector<std::string> schemes;
  for (const auto& [id, held] : held_) {
    const MountState state = TRY(decode_mount_state(held.state));
    if (state.negotiated && state.negotiated->has(fuse::proto::kOverIoUring)) {
      return Error(EBUSY, "upgrade",
                   fmt::format("{} is mounted with --transport=ring, and would not outlive that",
                               held.mount_point));
    }
    schemes.push_back(TRY(origins::Url::parse(state.url)).scheme);
  }
  return schemes;
}

void Supervisor::begin_upgrade(const std::string& path, std::vector<UniqueFd> fds) {
  if (fds.empty()) return;
  UniqueFd client = std::move(fds.front());
  if (upgrade_ || next_self_ || stopping_) {
    return refuse_upgrade(
        client.get(), path,
        Error(EBUSY, "upgrade", stopping_ ? "the daemon is ending" : "an upgrade is under way"));
  }
  const Result<std::vector<std::string>> schemes = schemes_held();
  if (!schemes.ok()) return refuse_upgrade(client.get(), path, schemes.error());
  Result<ProgramProbe> probe = ProgramProbe::start(path, schemes.value());
  if (!probe.ok()) return refuse_upgrade(client.get(), path, probe.error());
  upgrade_.emplace(Upgrade{.phase = Upgrade::Phase::kProbing,
                           .path = path,
                           .client = std::move(client),
                           .probe = std::move(probe).value(),
                           .program = {},
                           .version = {},
                           .command_before = options_.command,
                           .deadline = Clock::system().now() + kProbeTimeout});
}

void Supervisor::cancel_upgrade(const Error& why) {
  Upgrade upgrade = std::move(*upgrade_);
  upgrade_.reset();
  if (upgrade.phase == Upgrade::Phase::kProbing) {
    kill_process(upgrade.probe.pid(), SIGKILL);
    abandoned_.push_back(upgrade.probe.pid());
  }
  refuse_upgrade(upgrade.client.get(), upgrade.path, why);
}

void Supervisor::reap_probe() {
  if (!upgrade_ || upgrade_->phase != Upgrade::Phase::kProbing) return;
  int status = 0;
  if (::waitpid(upgrade_->probe.pid(), &status, WNOHANG) != upgrade_->probe.pid()) return;
  const Result<Formats> found = upgrade_->probe.ended(status);
  upgrade_->program = upgrade_->probe.take_program();
  upgrade_->phase = Upgrade::Phase::kDraining;  // nothing is left to be reaped
  if (!found.ok()) return cancel_upgrade(found.error());
  const std::string differs = difference(our_formats(), found.value());
  if (!differs.empty()) return cancel_upgrade(Error(EPROTONOSUPPORT, "upgrade", differs));
  upgrade_->version = found.value().version;
  upgrade_->deadline = Clock::system().now() + kOldEndsTimeout;
  // One that has just died is not there to be drained: the next one is of the new program.
  if (worker_pid_ < 0) return start_upgraded();
  const SupervisorMessage drain{.verb = SupervisorVerb::kDrain};
  const Deadline soon = Deadline::after(Clock::system(), kAnswerTimeout);
  if (!worker_socket_ || !send_packet(worker_socket_.get(), encode(drain), {}, soon).ok()) {
    kill_process(worker_pid_, SIGKILL);
  }
}

void Supervisor::start_upgraded() {
  options_.command = {path_of(upgrade_->program.get()), "worker"};
  upgrade_->phase = Upgrade::Phase::kStarting;
  upgrade_->deadline = Clock::system().now() + kNewStartsTimeout;
  restart_at_ = Clock::system().now();
}

// Whether the death of the worker was one of an upgrade, and is dealt with.
bool Supervisor::died_in_upgrade(const std::string& how) {
  if (!upgrade_ || upgrade_->phase == Upgrade::Phase::kProbing) return false;
  if (upgrade_->phase == Upgrade::Phase::kDraining) {
    start_upgraded();
    return true;
  }
  fall_back(fmt::format("its worker {}", how));
  return true;
}

void Supervisor::fall_back(const std::string& why) {
  options_.command = upgrade_->command_before;
  restart_at_ = Clock::system().now();
  cancel_upgrade(Error(ENOEXEC, "upgrade", why));
}

bool Supervisor::may_give_up_mounts() const {
  return !upgrade_ || upgrade_->phase == Upgrade::Phase::kProbing ||
         upgrade_->phase == Upgrade::Phase::kDraining;
}

void Supervisor::look_at_upgrade() {
  if (!upgrade_ || upgrade_->phase != Upgrade::Phase::kStarting || worker_pid_ < 0) return;
  for (const auto& [id, held] : held_) {
    if (held.served_by != workers_started_) return;
  }
  upgrade_->phase = Upgrade::Phase::kTrial;
  upgrade_->deadline = Clock::system().now() + kTrial;
}

void Supervisor::check_upgrade(MonoTime now) {
  if (!upgrade_ || now < upgrade_->deadline) return;
  switch (upgrade_->phase) {
    case Upgrade::Phase::kProbing:
      return cancel_upgrade(Error(ETIMEDOUT, "upgrade", "it does not say what it is"));
    case Upgrade::Phase::kTrial:
      return finish_upgrade();
    case Upgrade::Phase::kDraining:
    case Upgrade::Phase::kStarting:
      break;
  }
  // Its death leads on: to the new one, or back to the old one.
  upgrade_->deadline = MonoTime::max();
  if (worker_pid_ < 0) return;
  shout(upgrade_->phase == Upgrade::Phase::kDraining
            ? "upgrade: the worker does not end: it is killed"
            : "upgrade: the new worker does not serve: it is killed");
  kill_process(worker_pid_, SIGKILL);
}

void Supervisor::finish_upgrade() {
  Upgrade upgrade = std::move(*upgrade_);
  upgrade_.reset();
  Response response;
  response.line = fmt::format("netfs {} serves {} on, which netfs {} has served", upgrade.version,
                              count_of(held_.size()), worker_version_);
  worker_version_ = upgrade.version;
  telemetry::log_info("supervisor", "upgrade: {}", response.line);
  next_self_ = std::move(upgrade.program);
  if (!is_another(next_self_.get())) {
    next_self_.reset();
    options_.command = {"/proc/self/exe", "worker"};
  }
  answer_upgrade(upgrade.client.get(), response);
}

// Where nothing is under way that only this program knows of.
void Supervisor::become_next() {
  const bool quiet = operations_.empty() && abandoned_.empty() && !stopping_ && !ended_ &&
                     worker_pid_ > 0 && worker_socket_;
  if (!next_self_ || upgrade_ || !quiet) return;
  SupervisorState state{.listener = std::move(options_.listener),
                        .settings = options_.settings,
                        .worker_version = worker_version_,
                        .belongings = std::move(options_.belongings),
                        .client = options_.client,
                        .worker = worker_pid_,
                        .worker_socket = std::move(worker_socket_),
                        .workers_started = workers_started_,
                        .exit_code = exit_code_,
                        .held = std::move(held_),
                        .stored = options_.store.kept()};
  const std::string text = encode(state);
  const UniqueFd file(::memfd_create("netfs-supervisor", 0));
  const bool written =
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  std::string number = std::to_string(file.get());
  std::string program = path_of(next_self_.get());
  char name[] = "netfs";
  char verb[] = "supervise";
  char* arguments[] = {name, verb, number.data(), nullptr};
  outlive_exec(descriptors(state), true);
  if (written) ::execv(program.c_str(), arguments);
  const Error error = Error::from_errno("upgrade.exec");
  outlive_exec(descriptors(state), false);
  options_.listener = std::move(state.listener);
  options_.belongings = std::move(state.belongings);
  worker_socket_ = std::move(state.worker_socket);
  held_ = std::move(state.held);
  shout(fmt::format("upgrade: the supervisor stays netfs {}: {}", kVersion, error.message()));
  // Its workers are of the new program nevertheless.
  kept_program_ = std::move(next_self_);
}

void Supervisor::take_on(SupervisorState state) {
  worker_pid_ = state.worker;
  worker_socket_ = std::move(state.worker_socket);
  workers_started_ = state.workers_started;
  worker_version_ = std::move(state.worker_version);
  exit_code_ = state.exit_code;
  held_ = std::move(state.held);
  look_at_ = Clock::system().now();
  const SupervisorMessage version{.verb = SupervisorVerb::kVersion, .version = kVersion};
  const Deadline soon = Deadline::after(Clock::system(), kAnswerTimeout);
  // One that has died is seen as dead a moment later.
  (void)send_packet(worker_socket_.get(), encode(version), {}, soon).ok();
  // What was told to the program before, by signals that it did not come to read.
  reap();
}

// Never waits for the service manager: a worker may be waiting for us, and it for its disk.
void Supervisor::keep_stored() {
  const MonoTime now = Clock::system().now();
  const bool is_busy = store_again_at_ != MonoTime::max();
  if (is_busy && now < store_again_at_) return;
  if (options_.store.keep({options_.settings, workers_started_, held_})) {
    store_again_at_ = MonoTime::max();
    store_pause_ = kStoreAgainFirst;
    return;
  }
  store_again_at_ = now + store_pause_;
  store_pause_ = std::min(store_pause_ * 2, kStoreAgainMax);
}

int supervisor_main(int state_fd) {
  const UniqueFd file(state_fd);
  struct stat st {};
  std::string text;
  if (::fstat(file.get(), &st) == 0) text.resize(static_cast<size_t>(st.st_size));
  const ssize_t length = ::pread(file.get(), text.data(), text.size(), 0);
  Result<SupervisorState> state = Error(EPROTO, "supervise");
  if (length == st.st_size && length > 0) state = decode_supervisor_state(text);
  if (!state.ok()) {
    std::fprintf(stderr, "'netfs supervise' is started by netfs itself, never by hand\n");
    return 1;
  }
  SupervisorState& left = state.value();
  DescriptorStore store(std::move(left.stored));
  Supervisor supervisor({.listener = std::move(left.listener),
                         .settings = left.settings,
                         .command = {"/proc/self/exe", "worker"},
                         .client = left.client,
                         .belongings = std::move(left.belongings),
                         .left = std::move(state).value(),
                         .stored = {},
                         .store = std::move(store)});
  return supervisor.run();
}

}  // namespace netfs::daemon
