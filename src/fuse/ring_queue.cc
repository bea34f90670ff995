#include "fuse/ring_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "fuse/protocol.h"
#include "telemetry/log.h"

namespace netfs::fuse {

namespace {

constexpr size_t kHeadersRoom = 4096;
// One thread submits and reaps, and completions are worked on where it waits: nothing interrupts
// it. Disabled until that thread comes.
constexpr unsigned kRingFlags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER |
                                IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED;
constexpr uint64_t kWakeData = UINT64_MAX;
constexpr const char* kContext = "fuse.ring";

// The queue that this thread owns, of whatever channel.
thread_local const void* t_owned = nullptr;

Error ring_error(int negative) {
  return Error(-negative, kContext);
}

bool ended(int code) {
  return code == -ENOTCONN || code == -ECANCELED || code == -ECONNABORTED || code == -ENODEV;
}

}  // namespace

// Its memory is one piece: a page with the headers at its beginning and room before its end for the
// front of a message that stays in place; then the payload.
struct RingQueue::Entry {
  proto::RingEntryHeaders* headers = nullptr;
  std::byte* payload = nullptr;
  std::atomic<uint64_t> unique{0};  // of the request that it holds; 0: none
  unsigned cpu = 0;
  std::array<iovec, 2> pieces{};
};

RingQueue::RingQueue(Setup setup) : setup_(std::move(setup)), wake_fd_(::eventfd(0, EFD_CLOEXEC)) {}

RingQueue::~RingQueue() {
  if (has_ring_) ::io_uring_queue_exit(&ring_);
  if (memory_ != nullptr)
    ::munmap(memory_, entries_.size() * (kHeadersRoom + setup_.payload_bytes));
}

Result<std::unique_ptr<RingQueue>> RingQueue::create(Setup setup) {
  std::unique_ptr<RingQueue> queue(new RingQueue(std::move(setup)));
  TRY(queue->make());
  return queue;
}

Result<void> RingQueue::make() {
  if (!wake_fd_) return Error(EMFILE, kContext);
  const size_t others = setup_.also.size() * setup_.entries_also;
  const size_t count = setup_.entries + others;
  const size_t each = kHeadersRoom + setup_.payload_bytes;
  void* memory = ::mmap(nullptr, count * each, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return Error::from_errno(kContext);
  memory_ = static_cast<std::byte*>(memory);
  for (size_t i = 0; i < count; ++i) {
    auto entry = std::make_unique<Entry>();
    const bool own = i < setup_.entries;
    entry->cpu = own ? setup_.cpu : setup_.also[(i - setup_.entries) / setup_.entries_also];
    entry->headers = new (memory_ + i * each) proto::RingEntryHeaders{};
    entry->payload = memory_ + i * each + kHeadersRoom;
    entry->pieces = {
        {{entry->headers, sizeof *entry->headers}, {entry->payload, setup_.payload_bytes}}};
    entries_.push_back(std::move(entry));
  }
  // Each entry has one submission at most; one more waits for wake().
  const int made = ::io_uring_queue_init(static_cast<unsigned>(count) + 1, &ring_, kRingFlags);
  if (made < 0) return ring_error(made);
  has_ring_ = true;
  return {};
}

void RingQueue::bind() const {
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(setup_.cpu, &own);
  if (::sched_setaffinity(0, sizeof own, &own) == 0) return;
  telemetry::log_debug("fuse", "the thread of processor {} stays where it is: {}", setup_.cpu,
                       std::strerror(errno));
}

Result<void> RingQueue::begin() {
  begun_ = true;
  bind();
  // Debian's liburing 2.3 declares io_uring_enable_rings() and does not have it.
  const int enabled = ::io_uring_register(static_cast<unsigned>(ring_.ring_fd),
                                          IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  if (enabled < 0) return ring_error(enabled);
  push_wake_read();
  for (const auto& entry : entries_) push(ring_, *entry, proto::RingVerb::kRegister);
  t_owned = this;
  return {};
}

void RingQueue::push_wake_read() {
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
  NETFS_ASSERT(sqe != nullptr);
  ::io_uring_prep_read(sqe, wake_fd_.get(), &wake_word_, sizeof wake_word_, 0);
  ::io_uring_sqe_set_data64(sqe, kWakeData);
}

void RingQueue::push(io_uring& ring, const Entry& entry, proto::RingVerb verb) const {
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring);
  NETFS_ASSERT(sqe != nullptr);
  ::io_uring_prep_rw(IORING_OP_URING_CMD, sqe, setup_.fuse_fd, nullptr, 0, 0);
  sqe->off = static_cast<uint32_t>(verb);  // cmd_op is its lower half
  if (verb == proto::RingVerb::kRegister) {
    sqe->addr = reinterpret_cast<uint64_t>(entry.pieces.data());
    sqe->len = entry.pieces.size();
  }
  const proto::RingCommand command{
      .flags = 0,
      .commit_id = verb == proto::RingVerb::kCommitAndFetch ? entry.headers->state.commit_id : 0,
      .queue = static_cast<uint16_t>(entry.cpu),
      .padding = {}};
  // The submission's second half and the last of its first are the command's.
  constexpr size_t kCommandAt = 48;
  std::byte* bytes = reinterpret_cast<std::byte*>(sqe);
  std::memset(bytes + kCommandAt, 0, 2 * sizeof *sqe - kCommandAt);
  std::memcpy(bytes + kCommandAt, &command, sizeof command);
  ::io_uring_sqe_set_data(sqe, const_cast<Entry*>(&entry));
}

std::span<const std::byte> RingQueue::take(Entry& entry, std::span<std::byte> buffer) {
  proto::InHeader header{};
  std::memcpy(&header, entry.headers->in_out.data(), sizeof header);
  const size_t payload = entry.headers->state.payload_bytes;
  // The kernel's own: it wrote them a moment ago.
  NETFS_ASSERT(payload <= setup_.payload_bytes && header.len >= sizeof header + payload);
  const size_t words = header.len - sizeof header - payload;
  NETFS_ASSERT(words <= entry.headers->op_in.size());
  std::byte* message = entry.payload - words - sizeof header;
  if (header.len <= std::min(kCopyBytesMax, buffer.size())) {
    message = buffer.data();
    std::memcpy(message + sizeof header + words, entry.payload, payload);
  }
  std::memcpy(message, &header, sizeof header);
  std::memcpy(message + sizeof header, entry.headers->op_in.data(), words);
  entry.unique.store(header.unique, std::memory_order_release);
  return {message, header.len};
}

// The replies of other threads, to where the next submission takes them along.
void RingQueue::take_replies() {
  if (!has_replies_.load()) return;
  std::vector<const Entry*> replies;
  {
    sync::MutexLock lock(mutex_);
    replies.swap(replies_);
    has_replies_.store(false);
  }
  for (const Entry* entry : replies) push(ring_, *entry, proto::RingVerb::kCommitAndFetch);
}

// Tells the kernel what was pushed, and sleeps where nothing has come.
Result<bool> RingQueue::wait() {
  const bool idle = ::io_uring_cq_ready(&ring_) == 0;
  if (!idle && ::io_uring_sq_ready(&ring_) == 0) return true;
  if (idle) {
    // Sequentially consistent with send() and wake(): either they see us asleep, or we see them.
    sleeping_.store(true);
    if (has_replies_.load() || stopping_.load()) {
      sleeping_.store(false);
      return false;
    }
  }
  const int submitted = ::io_uring_submit_and_wait(&ring_, idle ? 1 : 0);
  sleeping_.store(false);
  if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN && submitted != -EBUSY) {
    return ring_error(submitted);
  }
  return ::io_uring_cq_ready(&ring_) != 0;
}

Error RingQueue::leave(Error error) {
  t_owned = nullptr;
  std::vector<const Entry*> replies;
  {
    sync::MutexLock lock(mutex_);
    left_ = true;
    replies.swap(replies_);
  }
  for (const Entry* entry : replies) push(ring_, *entry, proto::RingVerb::kCommitAndFetch);
  (void)::io_uring_submit(&ring_);
  // Nobody would take what came now: with the ring its free entries go, too.
  ::io_uring_queue_exit(&ring_);
  has_ring_ = false;
  return error;
}

Result<std::span<const std::byte>> RingQueue::receive(std::span<std::byte> buffer) {
  if (!has_ring_) return Error(ECANCELED, kContext);
  if (!begun_) {
    const Result<void> begun = begin();
    if (!begun.ok()) return leave(begun.error());
  }
  while (true) {
    take_replies();
    if (stopping_.load()) return leave(Error(ECANCELED, kContext));
    const Result<bool> come = wait();
    if (!come.ok()) return leave(come.error());
    io_uring_cqe* done = nullptr;
    if (!come.value() || ::io_uring_peek_cqe(&ring_, &done) != 0) continue;
    const uint64_t data = ::io_uring_cqe_get_data64(done);
    const int code = done->res;
    ::io_uring_cqe_seen(&ring_, done);
    if (data == kWakeData) {
      push_wake_read();
      continue;
    }
    auto* entry = reinterpret_cast<Entry*>(data);
    if (code == 0) return take(*entry, buffer);
    if (ended(code)) return leave(Error(ENODEV, kContext));
    // With a wrong registration the kernel goes on using /dev/fuse.
    if (!usable_.exchange(false)) continue;
    telemetry::log_warn("fuse", "no requests by io_uring: the kernel refuses an entry: {}",
                        std::strerror(-code));
  }
}

RingQueue::Entry* RingQueue::find(uint64_t unique) const {
  for (const auto& entry : entries_) {
    if (entry->unique.load(std::memory_order_acquire) == unique) return entry.get();
  }
  return nullptr;
}

Result<void> RingQueue::send(std::span<const iovec> message) {
  NETFS_ASSERT(!message.empty() && message[0].iov_len == sizeof(proto::OutHeader));
  proto::OutHeader header{};
  std::memcpy(&header, message[0].iov_base, sizeof header);
  Entry* entry = header.unique != 0 ? find(header.unique) : nullptr;
  if (entry == nullptr) return Error(ENOENT, kContext);
  size_t length = 0;
  for (const iovec& piece : message.subspan(1)) length += piece.iov_len;
  // The asker would wait for ever for an answer that has no room.
  const bool fits = length <= setup_.payload_bytes;
  if (!fits) {
    header.error = -EIO;
    length = 0;
  }
  std::byte* to = entry->payload;
  for (const iovec& piece : message.subspan(1)) {
    if (!fits) break;
    std::memcpy(to, piece.iov_base, piece.iov_len);
    to += piece.iov_len;
  }
  std::memcpy(entry->headers->in_out.data(), &header, sizeof header);
  entry->headers->state.payload_bytes = static_cast<uint32_t>(length);
  entry->unique.store(0, std::memory_order_relaxed);
  TRY(commit(entry));
  if (!fits) return Error(EMSGSIZE, kContext);
  return {};
}

Result<void> RingQueue::commit(Entry* entry) {
  if (t_owned == this) {
    push(ring_, *entry, proto::RingVerb::kCommitAndFetch);
    return {};
  }
  {
    sync::MutexLock lock(mutex_);
    if (!left_) {
      replies_.push_back(entry);
      entry = nullptr;
    }
  }
  if (entry != nullptr) return send_late(*entry);
  has_replies_.store(true);
  if (sleeping_.exchange(false)) (void)::eventfd_write(wake_fd_.get(), 1);
  return {};
}

// By a ring of its own: the other one takes submissions of its owner only.
Result<void> RingQueue::send_late(const Entry& entry) const {
  io_uring ring{};
  const int made = ::io_uring_queue_init(1, &ring, IORING_SETUP_SQE128);
  if (made < 0) return ring_error(made);
  push(ring, entry, proto::RingVerb::kCommitAndFetch);
  const int sent = ::io_uring_submit(&ring);
  ::io_uring_queue_exit(&ring);
  if (sent < 0) return ring_error(sent);
  return {};
}

void RingQueue::wake() {
  stopping_.store(true);
  (void)::eventfd_write(wake_fd_.get(), 1);
}

}  // namespace netfs::fuse
