#include "fuse/fake_kernel.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <utility>

#include "base/assert.h"

namespace netfs::fuse {

// The session's end of the socket pair.
class FakeKernel::Channel final : public KernelChannel {
 public:
  Channel(UniqueFd socket, unsigned queues) : socket_(std::move(socket)), queues_(queues) {}

  [[nodiscard]] unsigned queue_count() const override { return queues_; }

  Result<std::span<const std::byte>> receive(unsigned /*queue*/,
                                             std::span<std::byte> buffer) override {
    while (true) {
      if (stopping_.load()) return Error(ECANCELED, "fake.receive");
      const ssize_t length = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (stopping_.load()) return Error(ECANCELED, "fake.receive");
      if (length > 0) return buffer.first(static_cast<size_t>(length));
      if (length == 0) return Error(ENODEV, "fake.receive");
      if (errno != EINTR) return Error(ENODEV, "fake.receive");
    }
  }

  Result<void> send(unsigned /*queue*/, std::span<const iovec> message) override {
    const proto::OutHeader* header = static_cast<const proto::OutHeader*>(message[0].iov_base);
    if (header->unique != 0) {
      std::function<void()> before;
      {
        sync::MutexLock lock(before_reply_mutex_);
        before = before_reply_;
      }
      if (before) before();
    }
    if (header->unique != 0 && take_refusal()) return Error(ENOENT, "fake.send");
    msghdr raw{};
    raw.msg_iov = const_cast<iovec*>(message.data());
    raw.msg_iovlen = message.size();
    if (::sendmsg(socket_.get(), &raw, MSG_NOSIGNAL) >= 0) return {};
    return Error(errno == EPIPE || errno == ECONNRESET ? ENODEV : errno, "fake.send");
  }

  Result<int32_t> backing_open(int /*fd*/) override {
    const int code = backing_error_.load();
    if (code != 0) return Error(code, "fake.backing_open");
    backing_open_.fetch_add(1);
    return last_backing_id_.fetch_add(1) + 1;
  }

  Result<void> backing_close(int32_t backing_id) override {
    if (backing_id <= 0 || backing_id > last_backing_id_.load()) {
      return Error(ENOENT, "fake.backing_close");
    }
    backing_open_.fetch_sub(1);
    return {};
  }

  // Wakes receivers; what they have not read stays with the kernel.
  void shutdown() override {
    stopping_.store(true);
    ::shutdown(socket_.get(), SHUT_RD);
  }

  void set_before_reply(std::function<void()> before) {
    sync::MutexLock lock(before_reply_mutex_);
    before_reply_ = std::move(before);
  }

  std::atomic<int> backing_error_{0};
  std::atomic<unsigned> backing_open_{0};
  std::atomic<unsigned> refusals_{0};

 private:
  bool take_refusal() {
    unsigned left = refusals_.load();
    while (left > 0) {
      if (refusals_.compare_exchange_weak(left, left - 1)) return true;
    }
    return false;
  }

  UniqueFd socket_;
  const unsigned queues_;
  sync::Mutex before_reply_mutex_{kFakeKernelLock};
  std::function<void()> before_reply_ GUARDED_BY(before_reply_mutex_);
  std::atomic<bool> stopping_{false};
  std::atomic<int32_t> last_backing_id_{0};
};

void FakeKernel::Answer::copy_to(void* to, size_t size) const {
  const size_t copied = std::min(size, body.size());
  if (copied > 0) std::memcpy(to, body.data(), copied);
}

std::unique_ptr<FakeKernel> FakeKernel::create(unsigned queues) {
  int ends[2];
  NETFS_ASSERT(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  const int room = static_cast<int>(kMessageMax);  // the kernel doubles it
  for (const int end : ends) {
    NETFS_ASSERT(::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
  }
  auto channel = std::make_unique<Channel>(UniqueFd(ends[0]), queues);
  return std::unique_ptr<FakeKernel>(new FakeKernel(UniqueFd(ends[1]), std::move(channel)));
}

FakeKernel::FakeKernel(UniqueFd kernel_side, std::unique_ptr<Channel> channel)
    : socket_(std::move(kernel_side)),
      channel_(std::move(channel)),
      collector_("fake-kernel", [this] { collect(); }) {}

FakeKernel::~FakeKernel() {
  unmount();
}

KernelChannel& FakeKernel::channel() const {
  return *channel_;
}

void FakeKernel::send_raw(std::span<const std::byte> message) {
  (void)!::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL);
}

void FakeKernel::send_as(uint64_t unique, Opcode opcode, NodeId node,
                         std::span<const std::byte> body) {
  proto::InHeader header{};
  header.len = static_cast<uint32_t>(sizeof header + body.size());
  header.opcode = static_cast<uint32_t>(opcode);
  header.unique = unique;
  header.nodeid = node.value;
  header.pid = 1;
  std::vector<std::byte> message(header.len);
  std::memcpy(message.data(), &header, sizeof header);
  if (!body.empty()) std::memcpy(message.data() + sizeof header, body.data(), body.size());
  send_raw(message);
}

uint64_t FakeKernel::send(Opcode opcode, NodeId node, std::span<const std::byte> body) {
  uint64_t unique = 0;
  {
    sync::MutexLock lock(mutex_);
    unique = next_unique_;
    next_unique_ += 2;
    if (takes_reply(opcode)) waiting_.insert(unique);
  }
  send_as(unique, opcode, node, body);
  return unique;
}

uint64_t FakeKernel::send_again(uint64_t unique, Opcode opcode, NodeId node,
                                std::span<const std::byte> body) {
  unique |= proto::kUniqueResend;
  {
    sync::MutexLock lock(mutex_);
    // No number is given twice, by whichever process it is heard.
    next_unique_ = std::max(next_unique_, (unique & ~proto::kUniqueResend) + 2);
    waiting_.insert(unique);
  }
  send_as(unique, opcode, node, body);
  return unique;
}

void FakeKernel::set_before_reply(std::function<void()> before) {
  channel_->set_before_reply(std::move(before));
}

uint64_t FakeKernel::send_name(Opcode opcode, NodeId node, std::string_view name) {
  std::vector<std::byte> body(name.size() + 1);
  std::memcpy(body.data(), name.data(), name.size());
  return send(opcode, node, body);
}

void FakeKernel::interrupt(uint64_t unique) {
  const proto::InterruptIn in{unique};
  send_as(unique | 1, Opcode::kInterrupt, NodeId(0), bytes_of(in));
}

void FakeKernel::forget(NodeId node, uint64_t lookups) {
  const proto::ForgetIn in{lookups};
  send_as(0, Opcode::kForget, node, bytes_of(in));
}

std::optional<FakeKernel::Answer> FakeKernel::await(uint64_t unique) {
  const Deadline deadline = Deadline::after(Clock::system(), kPatience);
  sync::MutexLock lock(mutex_);
  while (!answers_.contains(unique)) {
    if (ended_ || !changed_.wait_until(mutex_, deadline.at)) break;
  }
  auto found = answers_.extract(unique);
  if (found.empty()) return {};
  return std::move(found.mapped());
}

bool FakeKernel::answered(uint64_t unique) const {
  sync::MutexLock lock(mutex_);
  return answers_.contains(unique);
}

std::optional<FakeKernel::Notification> FakeKernel::await_notification() {
  const Deadline deadline = Deadline::after(Clock::system(), kPatience);
  sync::MutexLock lock(mutex_);
  while (notifications_.empty()) {
    if (ended_ || !changed_.wait_until(mutex_, deadline.at)) break;
  }
  if (notifications_.empty()) return {};
  Notification first = std::move(notifications_.front());
  notifications_.pop_front();
  return first;
}

void FakeKernel::settle() {
  // A notification of our own behind all that was sent.
  const proto::OutHeader mark{sizeof mark, static_cast<int32_t>(proto::Notify::kPoll), 0};
  const iovec piece{const_cast<proto::OutHeader*>(&mark), sizeof mark};
  if (!channel_->send(0, {&piece, 1}).ok()) return;
  while (const std::optional<Notification> notification = await_notification()) {
    if (notification->code == proto::Notify::kPoll) return;
  }
}

proto::InitIn FakeKernel::newest_init() {
  proto::InitIn in{};
  in.major = proto::kMajor;
  in.minor = proto::kMinor;
  in.max_readahead = 128 << 10;
  // As a 6.18 kernel offers, every flag of ours among them.
  constexpr uint64_t kOffered = 0x7fd73fffffb;
  in.flags = static_cast<uint32_t>(kOffered);
  in.flags2 = static_cast<uint32_t>(kOffered >> 32);
  return in;
}

std::optional<proto::InitOut> FakeKernel::init(const proto::InitIn& in, size_t in_bytes) {
  const std::optional<Answer> answer =
      await(send(Opcode::kInit, NodeId(0), bytes_of(in).first(in_bytes)));
  if (!answer || answer->error != 0) return {};
  return answer->as<proto::InitOut>();
}

void FakeKernel::refuse_replies(unsigned count) {
  channel_->refusals_.store(count);
}
void FakeKernel::set_backing_error(int code) {
  channel_->backing_error_.store(code);
}
unsigned FakeKernel::backing_open_count() const {
  return channel_->backing_open_.load();
}

unsigned FakeKernel::protocol_errors() const {
  sync::MutexLock lock(mutex_);
  return protocol_errors_;
}

void FakeKernel::unmount() {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

void FakeKernel::collect() {
  std::vector<std::byte> buffer(2 * kMessageMax);
  while (true) {
    const ssize_t length = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    sync::MutexLock lock(mutex_);
    if (length <= 0) {
      ended_ = true;
      changed_.notify_all();
      return;
    }
    take_message_locked({buffer.data(), static_cast<size_t>(length)});
    changed_.notify_all();
  }
}

void FakeKernel::take_message_locked(std::span<const std::byte> message) {
  proto::OutHeader header{};
  if (message.size() < sizeof header) {
    ++protocol_errors_;
    return;
  }
  std::memcpy(&header, message.data(), sizeof header);
  const std::span<const std::byte> body = message.subspan(sizeof header);
  if (header.len != message.size()) {
    ++protocol_errors_;
  } else if (header.unique == 0) {
    notifications_.push_back(
        {static_cast<proto::Notify>(header.error), {body.begin(), body.end()}});
  } else if ((header.unique & 1) != 0) {
    // The answer to an INTERRUPT: EAGAIN means "tell me again", which is for the test to do.
    if (header.error == -EAGAIN) ++interrupts_postponed_;
  } else if (waiting_.erase(header.unique) == 0 || header.error > 0 || header.error <= -512 ||
             (header.error != 0 && !body.empty())) {
    ++protocol_errors_;
  } else {
    answers_[header.unique] = {-header.error, {body.begin(), body.end()}};
  }
}

bool FakeKernel::await_postponed(unsigned count) {
  const Deadline deadline = Deadline::after(Clock::system(), kPatience);
  sync::MutexLock lock(mutex_);
  while (interrupts_postponed_ < count && !ended_) {
    if (!changed_.wait_until(mutex_, deadline.at)) break;
  }
  return interrupts_postponed_ >= count;
}

}  // namespace netfs::fuse
