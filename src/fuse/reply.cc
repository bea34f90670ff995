#include "fuse/reply.h"

#include <utility>

#include "base/assert.h"
#include "fuse/session.h"
#include "fuse/session_slots.h"

namespace netfs::fuse {

namespace {
constexpr int kErrorLimit = 512;  // the kernel refuses answers with larger ones
}  // namespace

const sync::Context& request_context() {
  static const sync::Context context(sync::kFuseFault);
  return context;
}

Reply::Reply(Reply&& other) noexcept
    : session_(std::exchange(other.session_, nullptr)),
      unique_(other.unique_),
      opcode_(other.opcode_),
      queue_(other.queue_),
      slot_(other.slot_),
      arrived_(other.arrived_) {}

Reply& Reply::operator=(Reply&& other) noexcept {
  if (this == &other) return *this;
  drop();
  session_ = std::exchange(other.session_, nullptr);
  unique_ = other.unique_;
  opcode_ = other.opcode_;
  queue_ = other.queue_;
  slot_ = other.slot_;
  arrived_ = other.arrived_;
  return *this;
}

Reply::~Reply() {
  drop();
}

void Reply::drop() {
  if (session_ == nullptr) return;
  session_->counters_.dropped_replies.add();
  error(EIO);
}

void Reply::error(int code) {
  NETFS_ASSERT(session_ != nullptr);
  const bool representable = code > 0 && code < kErrorLimit;
  const std::span<const iovec> nothing;
  std::exchange(session_, nullptr)->finish(*this, representable ? code : EIO, &nothing);
}

void Reply::data(std::span<const std::byte> body) {
  NETFS_ASSERT(session_ != nullptr);
  const iovec piece{const_cast<std::byte*>(body.data()), body.size()};
  const std::span<const iovec> pieces(&piece, body.empty() ? 0 : 1);
  std::exchange(session_, nullptr)->finish(*this, 0, &pieces);
}

void Reply::gather(std::span<const iovec> body) {
  NETFS_ASSERT(session_ != nullptr);
  NETFS_ASSERT(body.size() <= kGatherMax);
  std::exchange(session_, nullptr)->finish(*this, 0, &body);
}

void Reply::none() {
  if (session_ == nullptr) return;
  std::exchange(session_, nullptr)->finish(*this, 0, nullptr);
}

bool Reply::interrupted() const {
  return session_ != nullptr && session_->was_interrupted(*this);
}

}  // namespace netfs::fuse
