#pragma once
// Pending: a request that could not be answered at once; PendingTable: those, by unique.
//
// It is answered once: by the work it waits for, with EINTR when the kernel no longer wants it, or
// by close(), whichever comes first.  The work goes on either way; its answer then falls on the
// floor.  The table holds each until it is answered.  Once closed it holds none: what is added
// after that is answered at once, since nobody may be left to do its work.
//
// Thread-safe.
//
//   Ref<Pending> pending = table.add(std::move(reply));
//   ... later, anywhere:  pending->answer([&](fuse::Reply& reply) { reply.error(EIO); });

#include <atomic>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ref.h"
#include "base/unique_function.h"
#include "fuse/reply.h"
#include "sync/mutex.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class PendingTable;

// Whether a call may be answered EINTR while its work goes on.  One that changes something may not:
// nobody would know whether it was done.  It is bounded by its deadline all the same.
enum class Interrupts : uint8_t { kTaken, kIgnored };

class Pending : public RefCounted<Pending> {
 public:
  Pending(PendingTable& table, fuse::Reply reply, Interrupts interrupts)
      : table_(table), unique_(reply.unique()), interrupts_(interrupts), reply_(std::move(reply)) {}

  // Calls give(reply) unless it was answered before.
  template <class Give>
  void answer(Give give) {
    if (answered_.exchange(true)) return;
    if (before_) before_();
    fuse::Reply reply = std::move(reply_);
    leave();  // `this` lives on by the caller's reference
    give(reply);
  }
  void error(int code) {
    answer([code](fuse::Reply& reply) { reply.error(code); });
  }
  // Without what was to come before it: by who does not do its work.
  void abandon(int code) {
    if (answered_.exchange(true)) return;
    fuse::Reply reply = std::move(reply_);
    leave();
    reply.error(code);
  }
  // What comes before the answer; from the one thread that does its work.
  void before_answer(UniqueFunction<void()> what) { before_ = std::move(what); }
  [[nodiscard]] bool answered() const { return answered_; }
  // The kernel's number of it, re-send bit included.
  [[nodiscard]] uint64_t unique() const { return unique_; }
  // Holds fuse.fault, as the reply's own; lives as long as this.
  [[nodiscard]] const sync::Context& context() const { return context_; }

 private:
  friend class PendingTable;
  void leave();

  PendingTable& table_;
  const uint64_t unique_;
  const Interrupts interrupts_;
  std::atomic<bool> answered_{false};
  fuse::Reply reply_;
  UniqueFunction<void()> before_;
  sync::Context context_{sync::kFuseFault};
};

class PendingTable {
 public:
  // Lists a request that waits; one that was interrupted meanwhile is answered EINTR here, and when
  // the table is closed any is answered as close() says.
  Ref<Pending> add(fuse::Reply reply, Interrupts interrupts = Interrupts::kTaken) EXCLUDES(mutex_);
  // Answers EINTR if the request is listed.
  void interrupt(uint64_t unique) EXCLUDES(mutex_);
  // Answers everything with `code`: what is listed, and what is still to come.  For ever.
  void close(int code) EXCLUDES(mutex_);
  [[nodiscard]] size_t count() const EXCLUDES(mutex_);

 private:
  friend class Pending;
  void remove(uint64_t unique) EXCLUDES(mutex_);

  mutable sync::Mutex mutex_{kPendingLock};
  std::unordered_map<uint64_t, Ref<Pending>> waiting_ GUARDED_BY(mutex_);
  int closed_ GUARDED_BY(mutex_) = 0;  // what close() said
};

}  // namespace netfs::vfs
