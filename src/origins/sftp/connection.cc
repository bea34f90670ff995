#include "origins/sftp/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include "telemetry/log.h"

namespace netfs::origins::sftp {

namespace {

// Packets but DATA are collected here whole; it grows for a long one, up to kPacketBytesMax.
constexpr size_t kInBytes = 64 * 1024;
// What is read beyond the packet at hand: the headers of those behind it and little data, for data
// read ahead is data copied.
constexpr size_t kAheadBytes = 4096;
constexpr int kPollMs = 500;  // how often a stall is looked for
constexpr size_t kDataHeaderBytes = 13;

uint32_t load_u32(const std::byte* p) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(p[i]);
  return value;
}

// What those who wait are told.
Error for_operations(const Error& reason) {
  int code = ENOTCONN;
  if (reason.code() == EPROTO) code = EIO;
  if (reason.code() == ECANCELED) code = ECANCELED;
  return Error(code, "sftp.connection", reason.message());
}

}  // namespace

Connection::Connection(SshProcess process, const SshTarget& target, const Clock& clock,
                       uint32_t serial, ConnectionOwner& owner)
    : target_(target),
      clock_(clock),
      serial_(serial),
      owner_(owner),
      process_(std::move(process)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      in_(kInBytes) {}

Result<Ref<Connection>> Connection::start(const SshTarget& target,
                                          const std::vector<std::string>& more_options,
                                          const Clock& clock, uint32_t serial,
                                          ConnectionOwner& owner) {
  SshProcess process = TRY(SshProcess::start(target, more_options));
  Ref<Connection> connection(new Connection(std::move(process), target, clock, serial, owner));
  if (!connection->wake_) return Error::from_errno("sftp.eventfd");
  Connection* raw = connection.get();
  raw->thread_ = sync::Thread("netfs-sftp-" + std::to_string(serial), [raw] { raw->run(); });
  return connection;
}

Connection::~Connection() {
  end(Error(ECANCELED, "sftp.close"));
  thread_.join();
}

Error Connection::end_reason() const {
  sync::MutexLock lock(mutex_);
  return end_reason_ ? *end_reason_ : Error(ENOTCONN, "sftp.connection");
}

void Connection::wake() {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void Connection::run() {
  Error reason(ENOTCONN, "sftp.connection");
  if (Result<void> connected = connect(); connected.ok()) {
    owner_.connection_changed();
    reason = serve();
  } else {
    reason = std::move(connected).error();
  }
  end(reason);
  if (data_operation_ != nullptr) {
    std::exchange(data_operation_, nullptr)->failed(for_operations(end_reason()));
  }
  owner_.connection_changed();
}

Result<void> Connection::connect() {
  const Deadline deadline = Deadline::after(clock_, target_.timeout);
  Result<Greeting> greeting =
      shake_hands(process_.fd(), wake_.get(), target_.name(), deadline, clock_);
  if (greeting.is_error(EPIPE)) return process_.failure(target_);
  greeting_ = TRY(std::move(greeting));
  handles_.set_server_limit(greeting_.open_handles_max);
  sync::MutexLock lock(mutex_);
  if (ended()) return Error(ECANCELED, "sftp.connect");
  last_received_ = clock_.now();
  was_up_.store(true, std::memory_order_release);
  state_.store(State::kUp, std::memory_order_release);
  return {};
}

void Connection::submit_close(std::string_view handle) {
  {
    sync::MutexLock lock(mutex_);
    if (!up()) return;
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
      if (writing_ || blocked_ || ended()) return;
      if (out_.empty() && written_ == writing_out_.size()) return;
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
      // An error shows itself to the reading thread as well: it ends the connection.
      blocked_ = flushed != Flushed::kAll;
    }
    if (flushed == Flushed::kAll) continue;
    wake();  // the thread polls for room, or finds the end
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
    if (ended()) return;
    end_reason_ = error;
    state_.store(State::kEnded, std::memory_order_release);
    // DATA that is half here is written to until the thread has stopped: the thread fails it.
    waiting.swap(waiting_);
  }
  wake();
  const Error told = for_operations(error);
  for (const auto& [id, entry] : waiting) {
    if (entry.operation != nullptr) entry.operation->failed(told);
  }
}

void Connection::end_if_idle(const Error& error) {
  {
    sync::MutexLock lock(mutex_);
    // Data that is half here is counted in bytes_wanted until its reader was told.
    if (!up() || !waiting_.empty() || bytes_wanted.load() > 0) return;
    end_reason_ = error;
    state_.store(State::kEnded, std::memory_order_release);
  }
  wake();
}

bool Connection::is_stalled() {
  sync::MutexLock lock(mutex_);
  const MonoTime now = clock_.now();
  if (data_operation_ != nullptr && now - last_received_ > target_.timeout) return true;
  if (waiting_.empty()) return false;
  // Only a silence counts that began after somebody began to wait.  A server that goes on talking
  // but leaves one request without an answer is given up after twice the time.
  MonoTime oldest = MonoTime::max();
  for (const auto& [id, entry] : waiting_) oldest = std::min(oldest, entry.since);
  return now - std::max(oldest, last_received_) > target_.timeout ||
         now - oldest > 2 * target_.timeout;
}

// Works until the connection ends; why it did.
Error Connection::serve() {
  MonoTime looked = clock_.now();
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
      if (Result<void> read = read_some(); !read.ok()) return std::move(read).error();
    }
    if (clock_.now() - looked > std::chrono::milliseconds(kPollMs)) {
      looked = clock_.now();
      if (is_stalled()) {
        return Error(ETIMEDOUT, "sftp.stalled", target_.name() + ": the server fell silent");
      }
    }
  }
  return end_reason();
}

// Reads what is there: the rest of a DATA packet straight to its place, and what follows to in_.
Result<void> Connection::read_some() {
  // Bounded, so that the stall clock and the writes get their turn.
  for (int round = 0; round < 64; ++round) {
    if (in_begin_ > 0) {
      std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
      in_end_ -= in_begin_;
      in_begin_ = 0;
    }
    if (in_.size() < in_wanted_ + kAheadBytes) in_.resize(in_wanted_ + kAheadBytes);
    iovec pieces[2];
    int count = 0;
    const uint64_t data_left = data_operation_ != nullptr ? data_bytes_ - data_done_ : 0;
    if (data_left > 0) {
      pieces[count++] = {data_operation_->destination().data() + data_done_, data_left};
    }
    const size_t ahead = std::max(in_wanted_, in_end_ + kAheadBytes) - in_end_;
    pieces[count++] = {in_.data() + in_end_, std::min(ahead, in_.size() - in_end_)};
    const ssize_t n = ::readv(process_.fd(), pieces, count);
    if (n < 0 && errno == EAGAIN) return {};
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return process_.failure(target_);
    last_received_ = clock_.now();
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

std::optional<Connection::Waiting> Connection::take_waiting(uint32_t id) {
  sync::MutexLock lock(mutex_);
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return std::nullopt;
  const Waiting waiting = found->second;
  waiting_.erase(found);
  return waiting;
}

// DATA's payload need not be whole: what is here is copied, the rest is read into place.
// Packet: u32 length, u8 type, u32 id, u32 count, bytes.
Result<bool> Connection::take_data(std::span<const std::byte> start, uint32_t length) {
  if (start.size() < kDataHeaderBytes) return false;
  const uint32_t id = load_u32(start.data() + 5);
  const uint32_t count = load_u32(start.data() + 9);
  if (uint64_t{count} + 9 != length) return Error(EPROTO, "sftp.data_length");
  // Answers that nobody waits for end the connection: ids are ours, so the server is confused.
  const std::optional<Waiting> waiting = take_waiting(id);
  if (!waiting || waiting->operation == nullptr) return Error(EPROTO, "sftp.unknown_id");
  Operation* operation = waiting->operation;
  const std::span<std::byte> to = operation->destination();
  if (to.empty() || count > to.size()) {
    const Error error(EPROTO, to.empty() ? "sftp.unwanted_data" : "sftp.data_too_long");
    end(error);  // first, so that whoever is told does not ask here again
    operation->failed(for_operations(error));
    return error;
  }
  const size_t here = std::min<size_t>(count, start.size() - kDataHeaderBytes);
  if (here > 0) std::memcpy(to.data(), start.data() + kDataHeaderBytes, here);
  in_begin_ += kDataHeaderBytes + here;
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
  in_wanted_ = 0;
  while (data_operation_ == nullptr) {
    const std::span<const std::byte> here(in_.data() + in_begin_, in_end_ - in_begin_);
    if (here.size() < 5) return {};
    const uint32_t length = load_u32(here.data());
    // The shortest answer is a type and an id.
    if (length < 5 || length > kPacketBytesMax) return Error(EPROTO, "sftp.packet_length");
    if (here[4] == static_cast<std::byte>(PacketType::kData)) {
      if (!TRY(take_data(here, length))) return {};
      continue;
    }
    if (here.size() < 4 + size_t{length}) {
      in_wanted_ = 4 + size_t{length};
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
  const std::optional<Waiting> waiting = take_waiting(TRY(reader.u32()));
  if (!waiting) return Error(EPROTO, "sftp.unknown_id");
  if (waiting->operation != nullptr) waiting->operation->answered(type, reader);
  return {};
}

}  // namespace netfs::origins::sftp
