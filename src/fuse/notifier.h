#pragma once
// Notifier: tells the kernel what it should no longer believe, from a thread of its own.
//
// An invalidation may wait in the kernel for a lock whose holder waits for one of our answers, so
// no thread that owes an answer may send one: it posts here and goes on.  The queue is bounded;
// when full, post answers false and the caller must shorten validity or try again later.
// Notifications leave in the order in which they were posted.  ENOENT from the kernel (it does not
// know the node or name) is not a failure.
//
// While the kernel keeps it so, even SIGKILL does not end that thread.  It has no descriptor but
// the connection's, so that nothing else of a killed process stays open; who waits for a
// notification hears of it from a second thread.
//
// Life: stop() before the session stops answering, or the thread may wait in the kernel until the
// connection ends.  The channel must outlive it.  Thread-safe.
//
//   notifier.inval_inode(node, {0, 0});          // data and attributes of the whole file

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <variant>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/unique_function.h"
#include "fuse/channel.h"
#include "fuse/lock_classes.h"
#include "fuse/wire.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"
#include "telemetry/counter.h"

namespace netfs::fuse {

class Notifier {
 public:
  static constexpr size_t kDepthMax = 65536;

  explicit Notifier(KernelChannel& channel, size_t depth_max = kDepthMax);
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Drops cached pages of `range` (length 0: to the end) and the attributes.
  [[nodiscard]] bool inval_inode(NodeId node, ByteRange range) EXCLUDES(mutex_);
  // The same; `then` is called once it is done, or dropped by stop(), from the second thread or
  // stop()'s.  False: it never will be.
  [[nodiscard]] bool inval_inode(NodeId node, ByteRange range, UniqueFunction<void()> then)
      EXCLUDES(mutex_);
  // Drops the attributes only.
  [[nodiscard]] bool inval_attributes(NodeId node, UniqueFunction<void()> then = {})
      EXCLUDES(mutex_);
  // Forgets the name, also one remembered as absent; what is mounted on it goes too.
  [[nodiscard]] bool inval_entry(NodeId parent, std::string_view name) EXCLUDES(mutex_);
  // Makes the next use of the name look it up again.  Needs HAS_EXPIRE_ONLY.
  [[nodiscard]] bool expire_entry(NodeId parent, std::string_view name) EXCLUDES(mutex_);
  // The name was removed at the origin: watchers of the directory hear of it.
  [[nodiscard]] bool delete_entry(NodeId parent, NodeId child, std::string_view name)
      EXCLUDES(mutex_);

  // Until everything posted before has been sent, and told of; false at the deadline.  Not for a
  // thread that owes the kernel an answer.
  bool drain(Deadline deadline) EXCLUDES(mutex_);
  // Drops what is queued, refuses more, waits for the thread's end.  Idempotent, from any thread.
  void stop() EXCLUDES(mutex_);

  // issued: posted; done: sent, or not known to the kernel; failed: refused by it.
  [[nodiscard]] const telemetry::Triplet& counters() const { return counters_; }
  [[nodiscard]] uint64_t refused() const { return refused_.get(); }
  [[nodiscard]] size_t depth() const EXCLUDES(mutex_);

 private:
  struct Item {
    proto::Notify code{};
    NodeId node;  // or the parent
    NodeId child;
    int64_t offset = 0;
    int64_t length = 0;
    uint32_t flags = 0;
    std::string name;
    UniqueFunction<void()> then;
  };
  bool post(Item item) EXCLUDES(mutex_);
  void run() EXCLUDES(mutex_);
  void run_told() EXCLUDES(mutex_);
  void send(const Item& item);

  KernelChannel& channel_;
  const size_t depth_max_;
  telemetry::Triplet counters_;
  telemetry::Counter refused_;

  mutable sync::Mutex mutex_{kNotifierLock};
  sync::CondVar changed_;
  std::deque<Item> queue_ GUARDED_BY(mutex_);
  bool sending_ GUARDED_BY(mutex_) = false;
  bool sent_all_ GUARDED_BY(mutex_) = false;                    // the first thread has ended
  std::deque<UniqueFunction<void()>> told_ GUARDED_BY(mutex_);  // of what was sent
  bool telling_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool joining_ GUARDED_BY(mutex_) = false;  // by whoever stopped it first
  bool joined_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;
  sync::Thread teller_;
};

// Asks the kernel to put every request that was read and not answered back into its queue, marked
// by proto::kUniqueResend.  Only a successor that has not begun to read may do this.
Result<void> send_resend(KernelChannel& channel);

}  // namespace netfs::fuse
