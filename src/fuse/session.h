#pragma once
// Session: reads a channel's requests, decodes them, and hands them to a Handler; Reply answers
// one.
//
// One thread a queue.  INIT is answered by the session itself from SessionOptions and what the
// kernel offers; the outcome is negotiated().  Requests that wire cannot decode are answered EIO,
// unknown opcodes ENOSYS, and counted.
//
// The handler runs on the queue's thread and must not block: it answers at once or moves the Reply
// to a worker.  The Request's text and data point into the queue's receive buffer, so they are
// valid until handle() returns: copy what is needed later.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fuse/channel.h"
#include "sync/context.h"
#include "sync/thread.h"

namespace netfs::fuse {

struct Request;  // fuse/wire.h: header and one decoded body
class Session;

// The duty to answer one request, moved to whoever will.  Exactly one answer: a Reply destroyed
// unanswered answers EIO and counts as a bug.  Thread-safety: one owner at a time.
class Reply {
 public:
  Reply() = default;
  Reply(Session& session, uint64_t unique, uint32_t opcode, MonoTime arrived);
  Reply(Reply&& other) noexcept;
  Reply& operator=(Reply&& other) noexcept;
  ~Reply();

  void error(int code);    // positive errno
  void ok() { data({}); }  // an empty body
  void data(std::span<const std::byte> body);
  void gather(std::span<const iovec> body);  // at most kGatherMax pieces
  void none();                               // FORGET and the like take no answer

  explicit operator bool() const { return session_ != nullptr; }
  [[nodiscard]] uint64_t unique() const { return unique_; }
  // The request's context: holds fuse.fault until it is answered.
  [[nodiscard]] const sync::Context& context() const;

 private:
  Session* session_ = nullptr;
  uint64_t unique_ = 0;
  uint32_t opcode_ = 0;
  MonoTime arrived_{};
};

class Handler {
 public:
  virtual ~Handler() = default;
  virtual void handle(const Request& request, Reply reply) = 0;
  // The kernel no longer wants the answer to `unique`; it still must be given.  EINTR is usual.
  virtual void interrupt(uint64_t unique) = 0;
};

struct SessionOptions {
  uint32_t max_write_bytes = 1 << 20;
  uint32_t max_readahead_bytes = 1 << 20;
  bool passthrough = true;  // ask for it
  bool no_open = false;     // immutable mounts: OPEN is answered ENOSYS (by the handler)
  uint32_t max_stack_depth = 1;
};

// What INIT settled; shown by `netfs status`.
struct Negotiated {
  uint32_t kernel_major = 0;
  uint32_t kernel_minor = 0;
  uint64_t offered_flags = 0;
  uint64_t flags = 0;  // FUSE_* of wire.h that are on
  uint32_t max_write_bytes = 0;
  uint32_t max_readahead_bytes = 0;
  uint32_t max_pages = 0;
  uint32_t max_stack_depth = 0;
  bool passthrough = false;
};

}  // namespace netfs::fuse
