#pragma once
// Session: reads a channel's requests, decodes them, and hands them to a Handler.
//
// Life: create() -> start() (INIT is answered by the session itself; Handler::started() follows) ->
// requests -> DESTROY, unmount or stop() -> wait() returns.  One thread a queue.  What wire cannot
// decode is answered EINVAL, unknown opcodes ENOSYS, and both are counted.
//
// The handler runs on the queue's thread under the requests' context (fuse.fault held) and must not
// block: it answers at once or moves the Reply to a worker.  The Request's text and data point into
// the queue's receive buffer, so they are valid until handle() returns: copy what is needed later.
// (Data of more than RingQueue::kCopyBytesMax may lie where its answer will: take it before the
// Reply is given away.)  The path read -> decode -> handle -> writev takes no lock and no memory;
// over a ring a reply of another thread is handed over under a lock.
//
// Channel and handler must outlive the session, and the session its replies.  Thread-safe.
//
//   auto session = TRY(Session::create(*channel, vfs, options, Clock::system()));
//   session->start();
//   session->wait();                                  // until unmounted
//   session->stop(Deadline::after(clock, 5s));

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fuse/channel.h"
#include "fuse/lock_classes.h"
#include "fuse/negotiate.h"
#include "fuse/reply.h"
#include "fuse/wire.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"
#include "telemetry/counter.h"
#include "telemetry/histogram.h"

namespace netfs::fuse {

class Handler {
 public:
  virtual ~Handler() = default;
  // INIT is settled; comes once, before any request.
  virtual void started(const Negotiated& negotiated) = 0;
  // Every request but INIT, DESTROY, INTERRUPT and unknown ones.  FORGET and BATCH_FORGET take no
  // answer: their Reply is empty and may be ignored.
  virtual void handle(const Request& request, Reply reply) = 0;
  // The kernel no longer wants the answer to `unique`; it still must be given, EINTR if it is
  // early. Called on a queue's thread, perhaps while the request's own handle() runs on another
  // one, or after its answer.  See Reply::interrupted().
  virtual void interrupt(uint64_t unique) = 0;
};

// `failed` of an operation: it was answered with an error, which may be as usual as ENOENT.
struct OpCounters {
  telemetry::Triplet count;
  telemetry::LatencyHistogram latency;
};

struct SessionCounters {
  std::array<OpCounters, proto::kOpcodeLimit> ops;  // by opcode; [0] is those beyond the table
  telemetry::Counter undecodable;
  telemetry::Counter unknown_opcodes;
  telemetry::Counter interrupts;
  telemetry::Counter interrupted_away;  // answers the kernel no longer took (ENOENT)
  telemetry::Counter send_failures;     // answers lost for another reason
  telemetry::Counter dropped_replies;   // bugs: a Reply destroyed unanswered
  telemetry::Counter unlisted;          // requests for which the live table had no room
};

struct LiveRequest {
  uint64_t unique = 0;
  Opcode opcode{};
  NodeId node;
  uint32_t pid = 0;
  Duration age{};
};

class Session {
 public:
  // ENOMEM when there is no room for the receive buffers.
  static Result<std::unique_ptr<Session>> create(KernelChannel& channel, Handler& handler,
                                                 SessionOptions options, const Clock& clock);
  // For a successor on a connection that was initialized before: what was negotiated then.  start()
  // first asks the kernel to re-send what the predecessor left unanswered.
  static Result<std::unique_ptr<Session>> resume(KernelChannel& channel, Handler& handler,
                                                 SessionOptions options, const Clock& clock,
                                                 const Negotiated& before);
  // stop() without grace.
  ~Session();

  void start();
  // Until the kernel has the answer to INIT; null when the connection ended or the deadline passed
  // before.
  std::optional<Negotiated> wait_negotiated(Deadline deadline) EXCLUDES(mutex_);
  // Until the reading threads ended: unmounted, aborted or stopped.  False at the deadline.
  bool wait(Deadline deadline) EXCLUDES(mutex_);
  // Reads no more, lets the requests in flight be answered until the deadline, then answers the
  // rest itself with ECONNABORTED (their Reply becomes void).  Idempotent.  Never waits for the
  // handler beyond the deadline, except for a handle() that blocks.  The kernel's queue stays as it
  // is: a successor may resume, or the channel be destroyed, which ends the connection.
  void stop(Deadline deadline) EXCLUDES(mutex_);

  [[nodiscard]] std::optional<Negotiated> negotiated() const EXCLUDES(mutex_);
  [[nodiscard]] const SessionOptions& options() const { return options_; }
  [[nodiscard]] const SessionCounters& counters() const { return counters_; }
  // Requests read and not answered, oldest first.
  [[nodiscard]] std::vector<LiveRequest> live() const;
  [[nodiscard]] size_t live_count() const;

 private:
  friend class Reply;
  struct Slot;
  struct Queue;

  Session(KernelChannel& channel, Handler& handler, SessionOptions options, const Clock& clock);
  Result<void> make_queues(uint32_t max_write_bytes);
  void run_queue(Queue& queue) EXCLUDES(mutex_);
  void serve(Queue& queue, std::span<const std::byte> message);
  void serve_init(const Queue& queue, const Header& header, const InitRequest& init)
      EXCLUDES(mutex_);
  void serve_interrupt(const InterruptRequest& interrupt, const Header& header);
  void make_ready(const Negotiated& negotiated);
  void set_negotiated(const Negotiated& negotiated) EXCLUDES(mutex_);
  Reply admit(Queue& queue, const Header& header, MonoTime arrived);
  void send_answer(unsigned queue, uint64_t unique, int error_code, std::span<const iovec> body);
  void finish(Reply& reply, int error_code, const std::span<const iovec>* body);
  [[nodiscard]] bool was_interrupted(const Reply& reply) const;
  [[nodiscard]] Slot* find_slot(uint64_t unique) const;
  [[nodiscard]] bool idle() const;
  bool wait_idle(Deadline deadline) EXCLUDES(mutex_);
  void answer_what_is_left();
  OpCounters& op(Opcode opcode);

  KernelChannel& channel_;
  Handler& handler_;
  const SessionOptions options_;
  const Clock& clock_;
  SessionCounters counters_;
  std::vector<std::unique_ptr<Queue>> queues_;  // fixed once made
  bool resumed_ = false;
  bool chase_interrupts_ = true;  // see serve_interrupt()
  std::atomic<bool> ready_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> unlisted_live_{0};

  mutable sync::Mutex mutex_{kSessionLock};
  sync::CondVar changed_;
  std::optional<Negotiated> negotiated_ GUARDED_BY(mutex_);
  unsigned threads_running_ GUARDED_BY(mutex_) = 0;
  bool started_ GUARDED_BY(mutex_) = false;
  std::vector<sync::Thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace netfs::fuse
