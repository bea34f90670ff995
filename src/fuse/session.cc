#include "fuse/session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/byte_range.h"
#include "fuse/notifier.h"
#include "fuse/placement.h"
#include "fuse/session_slots.h"
#include "telemetry/log.h"

namespace netfs::fuse {

namespace {

constexpr const char* kRoom = "fuse";
constexpr size_t kPage = 4096;

// Room for a WRITE of max_write and its headers; the kernel demands it of every read.
size_t buffer_bytes(uint32_t max_write_bytes) {
  return std::max(round_up(max_write_bytes, kPage) + kPage, proto::kMinReadBuffer);
}

}  // namespace

Session::Session(KernelChannel& channel, Handler& handler, SessionOptions options,
                 const Clock& clock)
    : channel_(channel), handler_(handler), options_(std::move(options)), clock_(clock) {}

Result<std::unique_ptr<Session>> Session::create(KernelChannel& channel, Handler& handler,
                                                 SessionOptions options, const Clock& clock) {
  std::unique_ptr<Session> session(new Session(channel, handler, std::move(options), clock));
  TRY(session->make_queues(session->options_.max_write_bytes));
  return session;
}

Result<std::unique_ptr<Session>> Session::resume(KernelChannel& channel, Handler& handler,
                                                 SessionOptions options, const Clock& clock,
                                                 const Negotiated& before) {
  std::unique_ptr<Session> session(new Session(channel, handler, std::move(options), clock));
  TRY(session->make_queues(before.max_write_bytes));
  session->resumed_ = true;
  session->chase_interrupts_ = before.has(proto::kHasResend);
  session->make_ready(before);
  session->set_negotiated(before);
  return session;
}

Session::~Session() {
  stop(Deadline{MonoTime{}});
}

Result<void> Session::make_queues(uint32_t max_write_bytes) {
  const unsigned count = options_.threads > 0 ? options_.threads : channel_.queue_count();
  NETFS_ASSERT(channel_.queue_count() > 0);
  for (unsigned i = 0; i < count; ++i) {
    auto queue = std::make_unique<Queue>();
    queue->thread_index = i;
    queue->channel_queue = i % channel_.queue_count();
    // A queue of a ring has one thread, which alone may speak to it.
    NETFS_ASSERT(count == channel_.queue_count() ||
                 !channel_.places_its_thread(queue->channel_queue));
    TRY(queue->map_buffer(
        channel_.buffer_bytes(queue->channel_queue, buffer_bytes(max_write_bytes))));
    queues_.push_back(std::move(queue));
  }
  return {};
}

void Session::make_ready(const Negotiated& negotiated) {
  handler_.started(negotiated);
  ready_.store(true, std::memory_order_release);
}

void Session::set_negotiated(const Negotiated& negotiated) {
  sync::MutexLock lock(mutex_);
  negotiated_ = negotiated;
  changed_.notify_all();
}

void Session::start() {
  if (resumed_) {
    // Before anybody reads: it also takes back requests that a living reader holds.
    const Result<void> sent = send_resend(channel_);
    if (!sent.ok()) {
      chase_interrupts_ = false;
      telemetry::log_warn(kRoom, "requests of the predecessor are lost: {}",
                          sent.error().message());
    }
  }
  sync::MutexLock lock(mutex_);
  NETFS_ASSERT(!started_);
  started_ = true;
  if (stopping_.load()) return;
  threads_running_ = static_cast<unsigned>(queues_.size());
  for (const auto& queue : queues_) {
    threads_.emplace_back("netfs-fuse-" + std::to_string(queue->thread_index),
                          [this, at = queue.get()] { run_queue(*at); });
  }
}

std::optional<Negotiated> Session::negotiated() const {
  sync::MutexLock lock(mutex_);
  return negotiated_;
}

std::optional<Negotiated> Session::wait_negotiated(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (!negotiated_ && !(started_ && threads_running_ == 0)) {
    if (!changed_.wait_until(mutex_, deadline.at)) break;
  }
  return negotiated_;
}

bool Session::wait(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (!started_ || threads_running_ > 0) {
    if (!changed_.wait_until(mutex_, deadline.at)) return started_ && threads_running_ == 0;
  }
  return true;
}

bool Session::wait_idle(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (!idle()) {
    if (!changed_.wait_until(mutex_, deadline.at)) return idle();
  }
  return true;
}

void Session::stop(Deadline deadline) {
  stopping_.store(true);
  channel_.shutdown();
  std::vector<sync::Thread> ending;
  {
    sync::MutexLock lock(mutex_);
    ending.swap(threads_);
  }
  for (sync::Thread& thread : ending) thread.join();
  if (wait_idle(deadline)) return;
  answer_what_is_left();
  // What is left now is in the middle of its own writev, which does not wait for anybody.
  constexpr Duration kSendTime = std::chrono::seconds(5);
  if (!wait_idle(Deadline::after(clock_, kSendTime))) {
    telemetry::log_error(kRoom, "{} requests are still held by the handler", live_count());
  }
}

void Session::answer_what_is_left() {
  for (const auto& queue : queues_) {
    for (Slot& slot : queue->slots) {
      uint64_t unique = slot.unique.load();
      if (unique <= kAnswering || !slot.unique.compare_exchange_strong(unique, kAnswering))
        continue;
      op(static_cast<Opcode>(slot.opcode.load())).count.failed.add();
      send_answer(queue->channel_queue, unique, ECONNABORTED, {});
      slot.unique.store(0);
    }
  }
}

void Session::run_queue(Queue& queue) {
  std::optional<Placement> placement;
  if (options_.callers != nullptr && !channel_.places_its_thread(queue.channel_queue)) {
    placement.emplace(queue.thread_index, *options_.callers);
  }
  while (true) {
    const Result<std::span<const std::byte>> received =
        channel_.receive(queue.channel_queue, queue.buffer);
    if (!received.ok()) {
      const int code = received.code();
      if (code != ENODEV && code != ECANCELED) {
        telemetry::log_error(kRoom, "reading requests ended: {}", received.error().message());
      }
      break;
    }
    serve(queue, received.value());
    if (!placement) continue;
    const Result<Header> header = decode_header(received.value());
    if (header.ok()) placement->served(header.value().pid);
  }
  sync::MutexLock lock(mutex_);
  --threads_running_;
  changed_.notify_all();
}

Reply Session::admit(Queue& queue, const Header& header, MonoTime arrived) {
  const auto make = [&](uint32_t slot) {
    return Reply(*this, header.unique, header.opcode, queue.channel_queue, slot, arrived);
  };
  Slot* slot = header.unique > kAnswering ? queue.find_free() : nullptr;
  if (slot == nullptr) {
    counters_.unlisted.add();
    unlisted_live_.fetch_add(1);
    return make(Reply::kNoSlot);
  }
  slot->node.store(header.node.value, std::memory_order_relaxed);
  slot->opcode.store(static_cast<uint32_t>(header.opcode), std::memory_order_relaxed);
  slot->pid.store(header.pid, std::memory_order_relaxed);
  slot->arrived_ns.store(arrived.time_since_epoch().count(), std::memory_order_relaxed);
  slot->unique.store(header.unique, std::memory_order_release);
  const auto index = static_cast<uint32_t>(slot - queue.slots.data());
  return make(static_cast<uint32_t>(queue.thread_index * kSlotsPerQueue) + index);
}

void Session::serve(Queue& queue, std::span<const std::byte> message) {
  const MonoTime arrived = clock_.now();
  Result<Request> decoded = decode_request(message);
  if (!decoded.ok()) {
    counters_.undecodable.add();
    const Result<Header> header = decode_header(message);
    if (header.ok() && takes_reply(header.value().opcode)) {
      send_answer(queue.channel_queue, header.value().unique, EINVAL, {});
    }
    return;
  }
  const Request& request = decoded.value();
  const Header& header = request.header;
  op(header.opcode).count.issued.add();
  if (const auto* init = std::get_if<InitRequest>(&request.body)) {
    serve_init(queue, header, *init);
    return;
  }
  if (const auto* interrupt = std::get_if<InterruptRequest>(&request.body)) {
    serve_interrupt(*interrupt, header);
    return;
  }
  sync::ContextScope scope(request_context());
  if (!takes_reply(header.opcode)) {
    if (header.opcode == Opcode::kNotifyReply) return;  // we never ask for one
    if (ready_.load(std::memory_order_acquire)) handler_.handle(request, Reply());
    op(header.opcode).count.done.add();
    return;
  }
  Reply reply = admit(queue, header, arrived);
  if (std::holds_alternative<UnknownRequest>(request.body)) {
    counters_.unknown_opcodes.add();
    reply.error(ENOSYS);
  } else if (std::holds_alternative<DestroyRequest>(request.body)) {
    reply.ok();
  } else if (!ready_.load(std::memory_order_acquire)) {
    reply.error(EIO);  // the kernel sends nothing before INIT is settled
  } else {
    handler_.handle(request, std::move(reply));
  }
}

void Session::serve_init(const Queue& queue, const Header& header, const InitRequest& init) {
  const auto answer = [&](int code, const proto::InitOut* out, size_t bytes) {
    const iovec piece{const_cast<proto::InitOut*>(out), bytes};
    (code == 0 ? op(header.opcode).count.done : op(header.opcode).count.failed).add();
    send_answer(queue.channel_queue, header.unique, code, {&piece, bytes > 0 ? size_t{1} : 0});
  };
  if (ready_.load()) {
    answer(EIO, nullptr, 0);  // one INIT a connection
    return;
  }
  if (init.major > proto::kMajor) {
    // The kernel then asks again in our major version.
    const proto::InitOut ours{.major = proto::kMajor, .minor = proto::kMinor};
    answer(0, &ours, sizeof ours);
    return;
  }
  const Result<Negotiated> settled = negotiate(init, options_);
  if (!settled.ok()) {
    telemetry::log_error(kRoom, "{}", settled.error().message());
    answer(settled.code(), nullptr, 0);
    return;
  }
  // The handler is ready before the answer lets other requests in.
  make_ready(settled.value());
  const proto::InitOut out = init_out(settled.value());
  answer(0, &out, init_out_bytes(init.minor));
  // Who waits for it may set what the kernel sets itself as it takes the answer (readahead).
  set_negotiated(settled.value());
  channel_.initialized(settled.value().has(proto::kOverIoUring));
}

void Session::serve_interrupt(const InterruptRequest& interrupt, const Header& header) {
  counters_.interrupts.add();
  op(header.opcode).count.done.add();
  if (Slot* slot = find_slot(interrupt.target); slot != nullptr) {
    slot->interrupted.store(interrupt.target);
    handler_.interrupt(interrupt.target);
    return;
  }
  if (unlisted_live_.load() > 0) {
    handler_.interrupt(interrupt.target);
    return;
  }
  // Either answered, and the kernel ignores what follows, or another thread has read it and not
  // listed it yet: EAGAIN makes the kernel tell us again.  An interrupt comes through any queue,
  // but the kernel takes the answer only where the request went, so all are tried.
  if (!chase_interrupts_) return;
  for (unsigned queue = 0; queue < channel_.queue_count(); ++queue) {
    const proto::OutHeader out{sizeof out, -EAGAIN, header.unique};
    const iovec piece{const_cast<proto::OutHeader*>(&out), sizeof out};
    if (channel_.send(queue, {&piece, 1}).ok()) break;
  }
}

bool Session::was_interrupted(const Reply& reply) const {
  if (reply.slot_ == Reply::kNoSlot) return false;
  const Queue& queue = *queues_[reply.slot_ / kSlotsPerQueue];
  return queue.slots[reply.slot_ % kSlotsPerQueue].interrupted.load() == reply.unique_;
}

void Session::send_answer(unsigned queue, uint64_t unique, int error_code,
                          std::span<const iovec> body) {
  std::array<iovec, Reply::kGatherMax + 1> pieces;  // not cleared: only what is used is set
  size_t length = sizeof(proto::OutHeader);
  for (size_t i = 0; i < body.size(); ++i) {
    pieces[i + 1] = body[i];
    length += body[i].iov_len;
  }
  proto::OutHeader header{static_cast<uint32_t>(length), -error_code, unique};
  pieces[0] = {&header, sizeof header};
  const Result<void> sent = channel_.send(queue, {pieces.data(), body.size() + 1});
  if (sent.ok()) return;
  (sent.is_error(ENOENT) ? counters_.interrupted_away : counters_.send_failures).add();
}

void Session::finish(Reply& reply, int error_code, const std::span<const iovec>* body) {
  Slot* slot = nullptr;
  if (reply.slot_ != Reply::kNoSlot) {
    slot = &queues_[reply.slot_ / kSlotsPerQueue]->slots[reply.slot_ % kSlotsPerQueue];
    uint64_t unique = reply.unique_;
    // Lost only to stop(), which has answered for us.
    if (!slot->unique.compare_exchange_strong(unique, kAnswering)) return;
  }
  // Counted before it is sent, so that whoever has the answer finds it counted.
  OpCounters& counters = op(reply.opcode_);
  (error_code == 0 ? counters.count.done : counters.count.failed).add();
  counters.latency.record(clock_.now() - reply.arrived_);
  if (body != nullptr) send_answer(reply.queue_, reply.unique_, error_code, *body);
  if (slot != nullptr) {
    slot->unique.store(0);
  } else {
    unlisted_live_.fetch_sub(1);
  }
  // Sequentially consistent with stop(): either it sees the slot free, or we see it waiting.
  if (stopping_.load()) {
    sync::MutexLock lock(mutex_);
    changed_.notify_all();
  }
}

OpCounters& Session::op(Opcode opcode) {
  const auto number = static_cast<uint32_t>(opcode);
  return counters_.ops[number < counters_.ops.size() ? number : 0];
}

}  // namespace netfs::fuse
