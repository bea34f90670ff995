#include "daemon/supervisor_link.h"

#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr Duration kLinkTimeout = std::chrono::seconds(10);
constexpr unsigned kGenerationShift = 32;

}  // namespace

Result<Inheritance> SupervisorLink::receive_inheritance(Deadline deadline) {
  const Packet first = TRY(receive_packet(socket_.get(), deadline));
  SupervisorMessage hello = TRY(decode_supervisor_message(first.text));
  if (hello.verb != SupervisorVerb::kHello) return Error(EPROTO, "supervisor.hello");
  Inheritance inheritance{
      .workers_before = hello.id, .settings = std::move(hello.text), .mounts = {}};
  {
    const sync::MutexLock lock(mutex_);
    supervisor_version_ = std::move(hello.version);
  }
  next_id_ = ((hello.id + 1) << kGenerationShift) + 1;
  for (uint64_t i = 0; i < hello.held; ++i) {
    Packet packet = TRY(receive_packet(socket_.get(), deadline));
    SupervisorMessage adopt = TRY(decode_supervisor_message(packet.text));
    if (adopt.verb != SupervisorVerb::kAdopt) return Error(EPROTO, "supervisor.adopt");
    Adopted one{adopt.id, std::move(adopt.text), std::move(packet.fds), {}, {}};
    if (adopt.arena && !one.fds.empty()) {
      one.arena = std::move(one.fds.back());
      one.fds.pop_back();
    }
    TRY(receive_kept(one, adopt.held, deadline));
    inheritance.mounts.push_back(std::move(one));
  }
  return inheritance;
}

Result<void> SupervisorLink::receive_kept(Adopted& adopted, uint64_t packets, Deadline deadline) {
  for (uint64_t i = 0; i < packets; ++i) {
    Packet packet = TRY(receive_packet(socket_.get(), deadline));
    const SupervisorMessage kept = TRY(decode_supervisor_message(packet.text));
    const std::vector<uint64_t> keys = TRY(decode_keys(kept.text));
    if (kept.verb != SupervisorVerb::kKept || keys.size() != packet.fds.size()) {
      return Error(EPROTO, "supervisor.kept");
    }
    for (size_t k = 0; k < keys.size(); ++k) {
      adopted.kept.insert_or_assign(keys[k], std::move(packet.fds[k]));
    }
  }
  return {};
}

SupervisorLink::Event SupervisorLink::receive() {
  Result<Packet> packet = receive_packet(socket_.get(), Deadline::within(kLinkTimeout));
  if (packet.is_error(ETIMEDOUT)) return Event::kNone;
  if (!packet.ok()) {
    const sync::MutexLock lock(mutex_);
    gone_ = true;
    answered_.notify_all();
    return Event::kGone;
  }
  const Result<SupervisorMessage> message = decode_supervisor_message(packet.value().text);
  if (!message.ok()) {
    telemetry::log_error("worker", "the supervisor talks nonsense: {}", message.error().message());
    return Event::kNone;
  }
  if (message.value().verb == SupervisorVerb::kStop) return Event::kStop;
  if (message.value().verb == SupervisorVerb::kDrain) return Event::kDrain;
  const sync::MutexLock lock(mutex_);
  if (message.value().verb == SupervisorVerb::kVersion) {
    supervisor_version_ = message.value().version;
    return Event::kNone;
  }
  const auto it = waiting_.find(message.value().id);
  if (it == waiting_.end()) return Event::kNone;
  it->second = std::move(packet).value();
  answered_.notify_all();
  return Event::kNone;
}

std::string SupervisorLink::supervisor_version() const {
  const sync::MutexLock lock(mutex_);
  return supervisor_version_;
}

Result<Packet> SupervisorLink::ask(const WorkerMessage& message, Deadline deadline) {
  {
    const sync::MutexLock lock(mutex_);
    if (gone_) return Error(ECONNRESET, "supervisor", "the supervisor is gone");
    waiting_[message.id] = std::nullopt;
  }
  const Result<void> sent =
      send_packet(socket_.get(), encode(message), {}, Deadline::within(kLinkTimeout));
  const sync::MutexLock lock(mutex_);
  while (sent.ok() && !waiting_[message.id] && !gone_) {
    if (!answered_.wait_until(mutex_, deadline.at)) break;
  }
  std::optional<Packet> answer = std::move(waiting_[message.id]);
  waiting_.erase(message.id);
  if (!sent.ok()) return sent.error();
  if (!answer) return Error(gone_ ? ECONNRESET : ETIMEDOUT, "supervisor");
  return std::move(*answer);
}

Result<std::vector<UniqueFd>> SupervisorLink::mount(uint64_t id, const fuse::MountOptions& options,
                                                    const std::string& state, Deadline deadline) {
  Packet packet =
      TRY(ask({.verb = WorkerVerb::kMount, .id = id, .mount = options, .state = state}, deadline));
  const SupervisorMessage answer = TRY(decode_supervisor_message(packet.text));
  if (answer.code != 0) return Error(answer.code, "mount", answer.text);
  if (packet.fds.empty()) return Error(EPROTO, "mount", "the supervisor sent no descriptor");
  return std::move(packet.fds);
}

Result<void> SupervisorLink::unmount(const std::string& mount_point, fuse::UnmountMode mode,
                                     Deadline deadline) {
  WorkerMessage message{.verb = WorkerVerb::kUnmount, .id = new_id(), .mode = mode};
  message.mount.mount_point = mount_point;
  const Packet packet = TRY(ask(message, deadline));
  const SupervisorMessage answer = TRY(decode_supervisor_message(packet.text));
  if (answer.code != 0) return Error(answer.code, "umount", answer.text);
  return {};
}

void SupervisorLink::keep(uint64_t id, const std::string& state, int arena) {
  const std::vector<int> fds = arena < 0 ? std::vector<int>() : std::vector<int>{arena};
  tell({.verb = WorkerVerb::kKeep, .id = id, .state = state}, fds);
}

bool SupervisorLink::keep_descriptor(uint64_t id, uint64_t key, int fd) {
  return tell({.verb = WorkerVerb::kKeepDescriptor, .id = id, .key = key}, {fd});
}

void SupervisorLink::drop_descriptor(uint64_t id, uint64_t key) {
  tell({.verb = WorkerVerb::kDropDescriptor, .id = id, .key = key});
}

void SupervisorLink::release(uint64_t id) {
  tell({.verb = WorkerVerb::kRelease, .id = id});
}

void SupervisorLink::give_up(uint64_t id) {
  tell({.verb = WorkerVerb::kGiveUp, .id = id});
}

void SupervisorLink::upgrade(const std::string& path, int client) {
  tell({.verb = WorkerVerb::kUpgrade, .state = path}, {client});
}

void SupervisorLink::ending() {
  tell({.verb = WorkerVerb::kEnding});
}

bool SupervisorLink::tell(const WorkerMessage& message, const std::vector<int>& fds) {
  const Result<void> sent =
      send_packet(socket_.get(), encode(message), fds, Deadline::within(kLinkTimeout));
  if (!sent.ok()) {
    telemetry::log_warn("worker", "cannot tell the supervisor: {}", sent.error().message());
  }
  return sent.ok();
}

}  // namespace netfs::daemon
