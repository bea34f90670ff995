#include "daemon/supervisor.h"

#include <algorithm>
#include <csignal>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <utility>

#include "base/kill_process.h"
#include "daemon/sd_notify.h"
#include "daemon/version.h"
#include "daemon/worker_process.h"
#include "fuse/connection.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr Duration kSendTimeout = std::chrono::seconds(5);
constexpr Duration kUnaskedPause = std::chrono::milliseconds(50);

Deadline soon() {
  return Deadline::within(kSendTimeout);
}

}  // namespace

Supervisor::Supervisor(Options options) : options_(std::move(options)), worker_version_(kVersion) {}

int Supervisor::run() {
  ::prctl(PR_SET_NAME, "netfs-supervise");
  ::openlog("netfs", LOG_PID, LOG_DAEMON);
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&watched, number);
  ::sigprocmask(SIG_BLOCK, &watched, nullptr);
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  descriptors_max_ = make_room_for_descriptors();
  signals_ = UniqueFd(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) {
    shout(fmt::format("cannot watch signals: {}", Error::from_errno("signalfd").message()));
    return 1;
  }
  if (options_.left) {
    take_on(std::move(*options_.left));
  } else {
    if (options_.stored) {
      held_ = std::move(options_.stored->held);
      workers_started_ = options_.stored->workers_started;
      for (const std::string& lost : options_.stored->lost) take_away(lost);
    }
    if (!start()) give_up("the worker cannot be started");
  }
  while (!ended_ || !operations_.empty() || options_.client > 0) {
    wait_once();
    keep_stored();
  }
  options_.store.finish({options_.settings, workers_started_, held_});
  clean_up();
  return exit_code_;
}

// The socket goes first: who holds the lock may make another.
void Supervisor::clean_up() const {
  const Belongings& ours = options_.belongings;
  for (const std::string& path : {ours.socket_path, ours.lock_path}) {
    if (!path.empty()) ::unlink(path.c_str());
  }
  if (exit_code_ == 0 && !ours.log_path.empty()) ::unlink(ours.log_path.c_str());
}

bool Supervisor::start() {
  restart_at_ = MonoTime::max();
  Result<std::pair<UniqueFd, UniqueFd>> pair = packet_pair();
  if (!pair.ok()) {
    shout(pair.error().message());
    return false;
  }
  auto [ours, theirs] = std::move(pair).value();
  const Result<pid_t> pid = start_worker(options_.command, theirs.get(), options_.listener.get());
  if (!pid.ok()) {
    shout(pid.error().message());
    return false;
  }
  worker_pid_ = pid.value();
  look_at_ = Clock::system().now() + kBetweenLooks;
  worker_socket_ = std::move(ours);
  ++workers_started_;
  // A worker that dies while it is told is seen as dead a moment later.
  if (!hand_over()) kill_process(worker_pid_, SIGKILL);
  if (stopping_) begin_stop();
  return true;
}

bool Supervisor::hand_over() {
  const SupervisorMessage hello{.verb = SupervisorVerb::kHello,
                                .id = workers_started_ - 1,
                                .held = held_.size(),
                                .text = options_.settings,
                                .version = kVersion};
  if (!send_packet(worker_socket_.get(), encode(hello), {}, soon()).ok()) return false;
  for (const auto& [id, held] : held_) {
    std::vector<int> fds;
    for (const UniqueFd& fd : held.fds) fds.push_back(fd.get());
    if (held.arena) fds.push_back(held.arena.get());
    const SupervisorMessage adopt{.verb = SupervisorVerb::kAdopt,
                                  .id = id,
                                  .held = held.descriptors.packets(),
                                  .arena = bool(held.arena),
                                  .text = held.state};
    if (!send_packet(worker_socket_.get(), encode(adopt), fds, soon()).ok()) return false;
    if (!held.descriptors.send(worker_socket_.get(), id, soon()).ok()) return false;
  }
  return true;
}

void Supervisor::serve_worker() {
  Result<Packet> packet = receive_packet(worker_socket_.get(), soon(), LackOfFds::kIsTold);
  if (!packet.ok()) {
    // Its end is told by SIGCHLD; until then nothing more is read.  It may be kept from it.
    worker_socket_.reset();
    if (worker_pid_ >= 0) look_at_ = std::min(look_at_, Clock::system().now() + kFirstLook);
    return;
  }
  Result<WorkerMessage> message = decode_worker_message(packet.value().text);
  if (!message.ok()) {
    shout(fmt::format("the worker talks nonsense ({})", message.error().message()));
    return;
  }
  // A lock's descriptor may be lacked; nothing else that comes with one.
  if (packet.value().lacks_fds && message.value().verb != WorkerVerb::kKeepDescriptor) {
    worker_socket_.reset();
    return;
  }
  carry_out(std::move(message).value(), std::move(packet.value().fds));
}

void Supervisor::carry_out(WorkerMessage message, std::vector<UniqueFd> fds) {
  const auto held = held_.find(message.id);
  switch (message.verb) {
    case WorkerVerb::kKeep:
      if (held == held_.end()) return;
      held->second.state = std::move(message.state);
      held->second.kept = true;
      held->second.served_by = workers_started_;
      if (!fds.empty()) held->second.take_arena(std::move(fds.front()));
      return look_at_upgrade();
    case WorkerVerb::kUpgrade:
      return begin_upgrade(message.state, std::move(fds));
    case WorkerVerb::kKeepDescriptor:
      if (held != held_.end()) keep_descriptor(held->second, message.key, std::move(fds));
      return;
    case WorkerVerb::kDropDescriptor:
      if (held != held_.end()) held->second.descriptors.drop(message.key);
      return;
    case WorkerVerb::kGiveUp:
      if (!may_give_up_mounts()) {
        kill_process(worker_pid_, SIGKILL);
        return;
      }
      exit_code_ = 1;
      [[fallthrough]];
    case WorkerVerb::kRelease:
      if (held != held_.end()) {
        end_connection(held->second);
        held_.erase(held);
      }
      return look_at_upgrade();
    case WorkerVerb::kEnding:
      if (!may_be_asked()) options_.listener.reset();
      return;
    case WorkerVerb::kMount:
    case WorkerVerb::kUnmount:
      break;
  }
  const uint64_t id = message.id;
  Result<ChildOperation> operation = ChildOperation::start(
      std::move(message), Deadline::after(Clock::system(), options_.operation_timeout));
  if (!operation.ok()) {
    answer(id, operation.code(), operation.error().message(), {});
    return;
  }
  operations_.push_back(std::move(operation).value());
}

// One that finds no room goes with its worker: whoever takes over does without it, and who has it
// is told then.  What takes the place of another needs none.
void Supervisor::keep_descriptor(Held& held, uint64_t key, std::vector<UniqueFd> fds) {
  size_t count = 0;
  for (const auto& [id, one] : held_) count += one.descriptors.count() + one.fds.size() + 1;
  if (!fds.empty() && (count < descriptors_max_ || held.descriptors.has(key))) {
    held.descriptors.keep(key, std::move(fds.front()));
  } else if (!std::exchange(no_room_told_, true)) {
    shout(
        "no room for more descriptors of locks and of files without a name: these end with "
        "their worker; raise the limit of open files (ulimit -Hn)");
  }
}

void Supervisor::operation_ended(size_t index, Packet packet) {
  const WorkerMessage request = operations_[index].message();
  const bool orphaned = operations_[index].orphaned();
  operations_.erase(operations_.begin() + static_cast<ptrdiff_t>(index));
  const Result<SupervisorMessage> done = decode_supervisor_message(packet.text);
  if (!done.ok()) {
    if (!orphaned) answer(request.id, EPROTO, done.error().message(), {});
    return;
  }
  std::vector<int> fds;
  for (const UniqueFd& fd : packet.fds) fds.push_back(fd.get());
  if (!orphaned) answer(request.id, done.value().code, done.value().text, fds);
  if (request.verb != WorkerVerb::kMount || done.value().code != 0) return;
  if (orphaned || stopping_ || ended_) {
    // Nobody will serve it: it goes as it came.
    packet.fds.clear();
    undo_mount(request.mount.mount_point, fuse::UnmountMode::kLazy);
    return;
  }
  Held held;
  held.mount_point = request.mount.mount_point;
  held.state = request.state;
  held.connection =
      fuse::connection_number(held.mount_point, request.mount.source).value_or(held.connection);
  held.fds = std::move(packet.fds);
  held_[request.id] = std::move(held);
}

void Supervisor::answer(uint64_t id, int code, const std::string& text,
                        const std::vector<int>& fds) {
  if (!worker_socket_) return;
  const SupervisorMessage message{
      .verb = SupervisorVerb::kAnswer, .id = id, .code = code, .text = text};
  const Result<void> sent = send_packet(worker_socket_.get(), encode(message), fds, soon());
  if (!sent.ok()) shout(fmt::format("the worker takes no answer: {}", sent.error().message()));
}

void Supervisor::read_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) begin_stop();
  }
  reap();
}

void Supervisor::reap() {
  std::erase_if(abandoned_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
  int status = 0;
  if (options_.client > 0 && ::waitpid(options_.client, &status, WNOHANG) == options_.client) {
    options_.client = -1;
    client_ended(status);
  }
  reap_probe();
  if (worker_pid_ < 0) return;
  // Each operation waits for its own child.
  if (::waitpid(worker_pid_, &status, WNOHANG) == worker_pid_) worker_died(status);
}

void Supervisor::client_ended(int wait_status) {
  const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1;
  if (code == 0) {
    sd_notify("READY=1");
  } else {
    exit_code_ = code;  // with no mount, the worker ends by itself
    if (options_.stored) begin_stop();
  }
}

void Supervisor::worker_died(int wait_status) {
  // What it said last, a release perhaps, may still lie in the socket.
  while (worker_socket_) serve_worker();
  worker_pid_ = -1;
  kill_at_ = MonoTime::max();
  look_at_ = MonoTime::max();
  drop_unfinished();
  const bool ended_well = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
  const bool ending = !options_.listener;
  const bool over = (ended_well || ending) && held_.empty();
  if (stopping_ || (over && !may_be_asked())) {
    unmount_held();
    ended_ = true;
    return;
  }
  if (died_in_upgrade(describe_death(wait_status))) return;
  if (over) {
    restart_at_ = Clock::system().now() + kUnaskedPause;
    return;
  }
  const std::optional<Duration> wait = policy_.died(wait_status, Clock::system().now());
  if (!wait) {
    give_up(fmt::format("the worker {} again", describe_death(wait_status)));
    return;
  }
  shout(fmt::format("the worker {}; {} mounts are handed to a new one", describe_death(wait_status),
                    held_.size()));
  restart_at_ = Clock::system().now() + *wait;
}

void Supervisor::begin_stop() {
  if (!stopping_) sd_notify("STOPPING=1");
  stopping_ = true;
  if (upgrade_) cancel_upgrade(Error(ECANCELED, "upgrade", "the daemon is told to end"));
  if (worker_pid_ < 0) {
    unmount_held();
    ended_ = true;
    return;
  }
  if (kill_at_ == MonoTime::max()) kill_at_ = Clock::system().now() + options_.stop_timeout;
  if (!worker_socket_) return;
  const SupervisorMessage stop{.verb = SupervisorVerb::kStop};
  // If it cannot be told, the deadline ends it.
  (void)send_packet(worker_socket_.get(), encode(stop), {}, soon()).ok();
}

void Supervisor::check_deadlines() {
  const MonoTime now = Clock::system().now();
  if (now >= look_at_) check_worker();
  check_upgrade(now);
  for (size_t i = operations_.size(); i-- > 0;) {
    if (!operations_[i].deadline().passed(now)) continue;
    abandoned_.push_back(operations_[i].pid());
    operation_ended(i, operations_[i].abandon());
  }
  if (now >= kill_at_ && worker_pid_ >= 0) {
    shout("the worker does not stop: it is killed");
    kill_process(worker_pid_, SIGKILL);
    kill_at_ = MonoTime::max();
  }
  if (now >= restart_at_ && !ended_ && settled() && !start()) {
    const std::optional<Duration> wait = policy_.died(1 << 8, now);
    if (!wait) return give_up("the worker cannot be started");
    restart_at_ = now + *wait;
  }
}

// Whether nothing is being mounted, or undone, for a worker that is dead: the next one may be asked
// for the same mount point.
bool Supervisor::settled() const {
  return std::none_of(operations_.begin(), operations_.end(), [](const ChildOperation& operation) {
    const WorkerMessage& message = operation.message();
    return operation.orphaned() &&
           (message.verb == WorkerVerb::kMount || message.mode == fuse::UnmountMode::kLazy);
  });
}

int Supervisor::next_wait_ms() const {
  MonoTime next = std::min({kill_at_, look_at_, store_again_at_});
  if (upgrade_) next = std::min(next, upgrade_->deadline);
  if (settled()) next = std::min(next, restart_at_);
  for (const ChildOperation& operation : operations_)
    next = std::min(next, operation.deadline().at);
  if (next == MonoTime::max()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(next - Clock::system().now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

void Supervisor::wait_once() {
  std::vector<pollfd> polled;
  polled.push_back({.fd = signals_.get(), .events = POLLIN, .revents = 0});
  polled.push_back({.fd = worker_socket_.get(), .events = POLLIN, .revents = 0});
  for (const ChildOperation& operation : operations_) {
    polled.push_back({.fd = operation.socket(), .events = POLLIN, .revents = 0});
  }
  const size_t operations = operations_.size();
  if (::poll(polled.data(), polled.size(), next_wait_ms()) > 0) {
    // From the last, so that the indices of those before stay.
    for (size_t i = operations; i-- > 0;) {
      if (polled[i + 2].revents != 0) operation_ended(i, operations_[i].finish());
    }
    if (polled[1].revents != 0 && worker_socket_) serve_worker();
    if (polled[0].revents != 0) read_signals();
  }
  check_deadlines();
  become_next();
}

void Supervisor::shout(const std::string& line) const {
  ::syslog(LOG_ERR, "%s", line.c_str());
  telemetry::log_error("supervisor", "{}", line);
}

}  // namespace netfs::daemon
