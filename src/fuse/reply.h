#pragma once
// Reply: the duty to answer one request, moved to whoever will.
//
// Exactly one answer: a Reply destroyed unanswered answers EIO and counts as a bug
// (SessionCounters::dropped_replies).  The session must outlive its replies.  Answering is one
// writev to the kernel: never do it under a lock.
//
// Thread-safety: one owner at a time; interrupted() by the owner.
//
//   void Vfs::handle(const Request& request, Reply reply) {
//     reply.value(attr_out(attr, kForever));

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>

#include "base/clock.h"
#include "fuse/encode.h"
#include "fuse/wire.h"
#include "sync/context.h"

namespace netfs::fuse {

class Session;

// What every unanswered request holds, the same for all: fuse.fault, because the kernel may hold a
// memory map or a page lock for it.
const sync::Context& request_context();

class Reply {
 public:
  static constexpr size_t kGatherMax = 511;  // a writev takes 1024; the header is one more

  Reply() = default;
  Reply(Reply&& other) noexcept;
  Reply& operator=(Reply&& other) noexcept;
  ~Reply();

  void error(int code);    // positive errno below 512
  void ok() { data({}); }  // an empty body
  void data(std::span<const std::byte> body);
  void gather(std::span<const iovec> body);  // at most kGatherMax pieces
  // One of the encoders' structs.
  template <class T>
  void value(const T& out) {
    data(bytes_of(out));
  }
  void none();  // FORGET and the like take no answer

  explicit operator bool() const { return session_ != nullptr; }
  [[nodiscard]] uint64_t unique() const { return unique_; }
  // An INTERRUPT for this request has come.  Whoever lists requests for Handler::interrupt() lists
  // first and asks this then: so none is missed.
  [[nodiscard]] bool interrupted() const;
  // To be adopted by whoever works for the request: request_context().
  [[nodiscard]] const sync::Context& context() const { return request_context(); }

 private:
  friend class Session;
  static constexpr uint32_t kNoSlot = UINT32_MAX;

  Reply(Session& session, uint64_t unique, Opcode opcode, unsigned queue, uint32_t slot,
        MonoTime arrived)
      : session_(&session),
        unique_(unique),
        opcode_(opcode),
        queue_(queue),
        slot_(slot),
        arrived_(arrived) {}

  void drop();

  Session* session_ = nullptr;
  uint64_t unique_ = 0;
  Opcode opcode_{};
  unsigned queue_ = 0;       // that brought the request: only there may the answer go
  uint32_t slot_ = kNoSlot;  // in the session's table of live requests
  MonoTime arrived_{};
};

}  // namespace netfs::fuse
