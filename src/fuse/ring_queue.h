#pragma once
// RingQueue: the part of a ring connection that serves the callers of one processor.
//
// It has a number of entries, each a place for one request; the kernel keeps what finds no free one
// waiting.  receive() is called by one thread only, its owner, which it binds to the processor.  A
// reply that the owner gives goes out in the very call that waits for the next request; one of
// another thread is handed to the owner, or sent from there when the owner has left.
//
// All that can be refused is asked for by create(): once INIT is answered the kernel waits for
// every queue, and goes on with /dev/fuse only where one registers wrongly.
//
// send(), wake() and usable() from any thread; fuse_fd outlives it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <liburing.h>
#include <memory>
#include <span>
#include <sys/uio.h>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fuse/lock_classes.h"
#include "fuse/ring_protocol.h"
#include "sync/mutex.h"

namespace netfs::fuse {

class RingQueue {
 public:
  struct Setup {
    int fuse_fd = -1;
    unsigned cpu = 0;
    unsigned entries = 0;
    // Processors that no thread of ours may run on, served from here.
    std::vector<unsigned> also;
    unsigned entries_also = 0;  // of each of them
    size_t payload_bytes = 0;
  };

  // What is larger stays where it is; the buffer of receive() need be no larger.
  static constexpr size_t kCopyBytesMax = 128 << 10;

  // EMFILE, ENOMEM, EPERM, ENOSYS: no such ring for this process.
  static Result<std::unique_ptr<RingQueue>> create(Setup setup);
  ~RingQueue();
  RingQueue(const RingQueue&) = delete;
  RingQueue& operator=(const RingQueue&) = delete;

  // As of KernelChannel.
  Result<std::span<const std::byte>> receive(std::span<std::byte> buffer);
  // ENOENT: no such request is here.  EMSGSIZE: the answer has no room, and is EIO.
  Result<void> send(std::span<const iovec> message) EXCLUDES(mutex_);
  // Makes receive() answer ECANCELED from now on.
  void wake();
  // False once the kernel has refused one of its entries: it then uses /dev/fuse.
  [[nodiscard]] bool usable() const { return usable_.load(std::memory_order_relaxed); }

 private:
  struct Entry;

  explicit RingQueue(Setup setup);
  Result<void> make();
  Result<void> begin();
  void bind() const;
  void push(io_uring& ring, const Entry& entry, proto::RingVerb verb) const;
  void push_wake_read();
  void take_replies() EXCLUDES(mutex_);
  Result<bool> wait();
  std::span<const std::byte> take(Entry& entry, std::span<std::byte> buffer);
  Error leave(Error error) EXCLUDES(mutex_);
  Result<void> commit(Entry* entry) EXCLUDES(mutex_);
  Result<void> send_late(const Entry& entry) const;
  [[nodiscard]] Entry* find(uint64_t unique) const;

  const Setup setup_;
  const UniqueFd wake_fd_;
  uint64_t wake_word_ = 0;
  std::byte* memory_ = nullptr;  // of all entries
  std::vector<std::unique_ptr<Entry>> entries_;
  io_uring ring_{};
  bool has_ring_ = false;
  bool begun_ = false;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> has_replies_{false};
  std::atomic<bool> usable_{true};

  sync::Mutex mutex_{kRingLock};
  std::vector<const Entry*> replies_ GUARDED_BY(mutex_);  // of other threads
  bool left_ GUARDED_BY(mutex_) = false;                  // the owner is gone
};

}  // namespace netfs::fuse
