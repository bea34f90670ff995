#include "origins/sftp/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "telemetry/log.h"

namespace netfs::origins::sftp {

namespace {

constexpr size_t kInBytes = 256 * 1024;
constexpr int kPollMs = 500;  // how often a stall is looked for

uint32_t load_u32(const std::byte* p) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(p[i]);
  return value;
}

int poll_ms(Deadline deadline, const Clock& clock) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline.at - clock.now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, kPollMs));
}

}  // namespace

Connection::Connection(SshProcess process, const SshTarget& target, const Clock& clock,
                       uint32_t serial)
    : target_(target),
      clock_(clock),
      serial_(serial),
      process_(std::move(process)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      in_(kInBytes) {}

Result<Ref<Connection>> Connection::connect(const SshTarget& target,
                                            const std::vector<std::string>& more_options,
                                            const Clock& clock, uint32_t serial) {
  SshProcess process = TRY(SshProcess::start(target, more_options));
  Ref<Connection> connection(new Connection(std::move(process), target, clock, serial));
  if (!connection->wake_) return Error::from_errno("sftp.eventfd");
  TRY(connection->shake_hands());
  connection->last_received_ = clock.now();
  Connection* raw = connection.get();
  connection->thread_ = sync::Thread("netfs-sftp-" + std::to_string(serial), [raw] { raw->run(); });
  return connection;
}

Connection::~Connection() {
  end(Error(ECANCELED, "sftp.close"));
  thread_.join();
}

Result<void> Connection::send_blocking(std::span<const std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(process_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      continue;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) return process_.failure(target_);
    if (deadline.passed(clock_.now())) return Error(ETIMEDOUT, "sftp.connect");
    pollfd wait{process_.fd(), POLLOUT, 0};
    ::poll(&wait, 1, poll_ms(deadline, clock_));
  }
  return {};
}

// One whole packet's payload, before the thread runs.
Result<std::vector<std::byte>> Connection::receive_blocking(Deadline deadline) {
  std::vector<std::byte> bytes;
  size_t wanted = 4;
  while (bytes.size() < wanted) {
    std::byte piece[4096];
    const size_t room = std::min(sizeof piece, wanted - bytes.size());
    const ssize_t n = ::recv(process_.fd(), piece, room, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return process_.failure(target_);
    if (n > 0) {
      bytes.insert(bytes.end(), piece, piece + n);
      if (wanted == 4 && bytes.size() == 4) {
        const uint32_t length = load_u32(bytes.data());
        if (length == 0 || length > kPacketBytesMax) {
          // A login shell that prints something is the usual reason.
          return Error(EPROTO, "sftp.connect",
                       target_.name() +
                           ": the server's first words are not SFTP (does a login "
                           "script there print something?)");
        }
        wanted = 4 + size_t{length};
      }
      continue;
    }
    if (deadline.passed(clock_.now())) {
      return Error(ETIMEDOUT, "sftp.connect", target_.name() + ": the host did not answer in time");
    }
    pollfd wait{process_.fd(), POLLIN, 0};
    ::poll(&wait, 1, poll_ms(deadline, clock_));
  }
  bytes.erase(bytes.begin(), bytes.begin() + 4);
  return bytes;
}

Result<void> Connection::shake_hands() {
  const Deadline deadline = Deadline::after(clock_, target_.timeout);
  Packet packet;
  append_init(packet);
  TRY(send_blocking(packet, deadline));
  const std::vector<std::byte> version = TRY(receive_blocking(deadline));
  Reader reader(version);
  if (TRY(reader.u8()) != static_cast<uint8_t>(PacketType::kVersion)) {
    return Error(EPROTO, "sftp.connect", target_.name() + ": the server does not speak SFTP");
  }
  version_ = TRY(decode_version(reader));
  // One more round trip: to know the delay, and the limits where the server tells them.
  const MonoTime asked = clock_.now();
  packet.clear();
  if (version_.limits) {
    append_extended(packet, 0, "limits@openssh.com", {});
  } else {
    append_path_request(packet, PacketType::kRealpath, 0, ".");
  }
  TRY(send_blocking(packet, deadline));
  const std::vector<std::byte> answer = TRY(receive_blocking(deadline));
  round_trip_ = clock_.now() - asked;
  Reader limits_reader(answer);
  const uint8_t type = TRY(limits_reader.u8());
  TRY(limits_reader.u32());
  if (version_.limits && type == static_cast<uint8_t>(PacketType::kExtendedReply)) {
    const ServerLimits limits = TRY(decode_limits(limits_reader));
    if (limits.read_bytes_max > 0)
      read_bytes_max_ = std::min<uint64_t>(limits.read_bytes_max, 255 * 1024);
  }
  return {};
}

void Connection::submit_close(std::string_view handle) {
  {
    sync::MutexLock lock(mutex_);
    if (ended_) return;
    const uint32_t id = next_id_++;
    waiting_.emplace(id, Waiting{nullptr, clock_.now()});
    append_handle_request(out_, PacketType::kClose, id, handle);
  }
  flush();
}

// Whoever finds nobody writing writes, until all is out or the socket is full.
void Connection::flush() {
  for (;;) {
    {
      sync::MutexLock lock(mutex_);
      if (writing_ || blocked_ || ended_ || (out_.empty() && written_ == writing_out_.size()))
        return;
      writing_ = true;
      if (written_ == writing_out_.size()) {
        writing_out_.clear();
        written_ = 0;
        std::swap(writing_out_, out_);
      }
    }
    const Flushed flushed = write_out();
    {
      sync::MutexLock lock(mutex_);
      writing_ = false;
      blocked_ = flushed == Flushed::kBlocked;
    }
    if (flushed == Flushed::kAll) continue;
    const uint64_t one = 1;  // the thread polls for room, or finds the end
    (void)!::write(wake_.get(), &one, sizeof one);
    return;
  }
}

Connection::Flushed Connection::write_out() {
  while (written_ < writing_out_.size()) {
    const ssize_t n = ::send(process_.fd(), writing_out_.data() + written_,
                             writing_out_.size() - written_, MSG_NOSIGNAL);
    if (n >= 0) {
      written_ += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      return Flushed::kBlocked;
    } else if (errno != EINTR) {
      return Flushed::kError;
    }
  }
  return Flushed::kAll;
}

void Connection::end(const Error& error) {
  std::unordered_map<uint32_t, Waiting> waiting;
  {
    sync::MutexLock lock(mutex_);
    if (ended_) return;
    ended_ = true;
    ended_flag_.store(true, std::memory_order_release);
    // DATA that is half here is written to until the thread has stopped: the thread fails it.
    waiting.swap(waiting_);
  }
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
  for (const auto& [id, entry] : waiting) {
    if (entry.operation != nullptr) entry.operation->failed(error);
  }
}

bool Connection::is_stalled() {
  sync::MutexLock lock(mutex_);
  const MonoTime now = clock_.now();
  if (data_operation_ != nullptr && now - last_received_ > target_.timeout) return true;
  if (waiting_.empty()) return false;
  // Only a silence counts that began after somebody began to wait.
  MonoTime oldest = MonoTime::max();
  for (const auto& [id, entry] : waiting_) oldest = std::min(oldest, entry.since);
  return now - std::max(oldest, last_received_) > target_.timeout ||
         now - oldest > 2 * target_.timeout;
}

void Connection::run() {
  MonoTime looked = clock_.now();
  Error reason(ENOTCONN, "sftp.connection");
  while (!ended()) {
    bool want_out = false;
    {
      sync::MutexLock lock(mutex_);
      want_out = blocked_;
    }
    pollfd waits[2] = {{process_.fd(), static_cast<short>(POLLIN | (want_out ? POLLOUT : 0)), 0},
                       {wake_.get(), POLLIN, 0}};
    ::poll(waits, 2, kPollMs);
    if (waits[1].revents != 0) {
      uint64_t count = 0;
      (void)!::read(wake_.get(), &count, sizeof count);
    }
    if (waits[0].revents & POLLOUT) {
      {
        sync::MutexLock lock(mutex_);
        blocked_ = false;
      }
      flush();
    }
    if (waits[0].revents & (POLLIN | POLLHUP | POLLERR)) {
      if (Result<void> read = read_some(); !read.ok()) {
        reason = std::move(read).error();
        break;
      }
    }
    if (clock_.now() - looked > std::chrono::milliseconds(kPollMs)) {
      looked = clock_.now();
      if (is_stalled()) {
        reason = Error(ETIMEDOUT, "sftp.stalled");
        break;
      }
    }
  }
  if (!ended()) {
    telemetry::log_warn("sftp", "connection {} to {} ended: {}", serial_, target_.name(),
                        reason.message());
  }
  end(reason);
  if (data_operation_ != nullptr) std::exchange(data_operation_, nullptr)->failed(reason);
}

// Reads what is there: the rest of a DATA packet straight to its place, and what follows it to in_.
Result<void> Connection::read_some() {
  // Bounded, so that the stall clock and the writes get their turn.
  for (int round = 0; round < 64; ++round) {
    if (in_begin_ > 0) {
      std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
      in_end_ -= in_begin_;
      in_begin_ = 0;
    }
    iovec pieces[2];
    int count = 0;
    const uint64_t data_left = data_operation_ != nullptr ? data_bytes_ - data_done_ : 0;
    if (data_left > 0) {
      pieces[count++] = {data_operation_->destination().data() + data_done_, data_left};
    }
    pieces[count++] = {in_.data() + in_end_, in_.size() - in_end_};
    const ssize_t n = ::readv(process_.fd(), pieces, count);
    if (n < 0 && errno == EAGAIN) return {};
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return process_.failure(target_);
    last_received_ = clock_.now();
    counters_.bytes_received.fetch_add(static_cast<uint64_t>(n), std::memory_order_relaxed);
    const uint64_t to_data = std::min<uint64_t>(static_cast<uint64_t>(n), data_left);
    data_done_ += to_data;
    in_end_ += static_cast<size_t>(n) - to_data;
    if (data_operation_ != nullptr && data_done_ == data_bytes_) {
      std::exchange(data_operation_, nullptr)->data_read(data_bytes_);
    }
    TRY(take_packets());
    if (ended()) return {};
  }
  return {};
}

Operation* Connection::take_waiting(uint32_t id) {
  sync::MutexLock lock(mutex_);
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return nullptr;
  Operation* operation = found->second.operation;
  waiting_.erase(found);
  return operation;
}

// DATA's payload need not be whole: what is here is copied, the rest is read into place.
// Packet: u32 length, u8 type, u32 id, u32 count, bytes.
Result<bool> Connection::take_data(std::span<const std::byte> start, uint32_t length) {
  constexpr size_t kHeader = 13;
  if (start.size() < kHeader) return false;
  const uint32_t id = load_u32(start.data() + 5);
  const uint32_t count = load_u32(start.data() + 9);
  if (uint64_t{count} + 9 != length) return Error(EPROTO, "sftp.data_length");
  {
    // Answers that nobody waits for end the connection: ids are ours, so the server is confused.
    sync::MutexLock lock(mutex_);
    if (ended_) return Error(ENOTCONN, "sftp.connection");
    if (!waiting_.contains(id)) return Error(EPROTO, "sftp.unknown_id");
  }
  Operation* operation = take_waiting(id);
  if (operation == nullptr) return Error(EPROTO, "sftp.unknown_id");
  if (count > operation->destination().size()) {
    operation->failed(Error(EIO, "sftp.data_too_long"));
    return Error(EPROTO, "sftp.data_too_long");
  }
  const size_t here = std::min<size_t>(count, start.size() - kHeader);
  if (here > 0) std::memcpy(operation->destination().data(), start.data() + kHeader, here);
  in_begin_ += kHeader + here;
  if (here == count) {
    operation->data_read(count);
    return true;
  }
  data_operation_ = operation;
  data_bytes_ = count;
  data_done_ = here;
  return true;
}

Result<void> Connection::take_packets() {
  while (data_operation_ == nullptr) {
    const std::span<const std::byte> here(in_.data() + in_begin_, in_end_ - in_begin_);
    if (here.size() < 5) return {};
    const uint32_t length = load_u32(here.data());
    if (length == 0 || length > kPacketBytesMax) return Error(EPROTO, "sftp.packet_length");
    if (here[4] == static_cast<std::byte>(PacketType::kData)) {
      if (!TRY(take_data(here, length))) return {};
      continue;
    }
    if (here.size() < 4 + size_t{length}) {
      if (in_.size() < 4 + size_t{length}) in_.resize(4 + size_t{length});
      return {};
    }
    in_begin_ += 4 + size_t{length};
    TRY(dispatch(here.subspan(4, length)));
  }
  return {};
}

Result<void> Connection::dispatch(std::span<const std::byte> payload) {
  Reader reader(payload);
  const auto type = static_cast<PacketType>(TRY(reader.u8()));
  const uint32_t id = TRY(reader.u32());
  {
    sync::MutexLock lock(mutex_);
    if (ended_) return {};
    if (!waiting_.contains(id)) return Error(EPROTO, "sftp.unknown_id");
  }
  if (Operation* operation = take_waiting(id)) operation->answered(type, reader);
  return {};
}

}  // namespace netfs::origins::sftp
