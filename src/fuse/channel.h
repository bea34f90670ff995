#pragma once
// KernelChannel: the way to one kernel connection, whatever carries it.
//
// Implementations: device_channel.h (/dev/fuse and its clones), ring_channel.h (io_uring beside
// it), fake_kernel.h (a socket pair that plays the kernel, for tests).  A channel has one or more
// queues; each is read by one thread, or by several where there are fewer queues than threads.  A
// reply goes out through the queue that brought its request: the kernel looks for the request there
// only. Notifications may take any queue.
//
// Thread-safe.

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>

#include "base/result.h"

namespace netfs::fuse {

class KernelChannel {
 public:
  virtual ~KernelChannel() = default;

  [[nodiscard]] virtual unsigned queue_count() const = 0;

  // Whether a queue is received from by one thread only, which the channel binds to a processor.
  [[nodiscard]] virtual bool places_its_thread(unsigned /*queue*/) const { return false; }
  // The buffer that receive() wants where a message may be this long.
  [[nodiscard]] virtual size_t buffer_bytes(unsigned /*queue*/, size_t message_bytes) const {
    return message_bytes;
  }
  // Whether requests come by io_uring.
  [[nodiscard]] virtual bool over_ring() const { return false; }

  // Waits for a message: the whole of it, in `buffer` or in memory of the channel's that stays as
  // it is until the request is answered. ENODEV: unmounted or aborted.  ECANCELED: shutdown() was
  // called.  EINTR and ENOENT never leave.
  virtual Result<std::span<const std::byte>> receive(unsigned queue,
                                                     std::span<std::byte> buffer) = 0;

  // INIT has been answered; whether with FUSE_OVER_IO_URING.
  virtual void initialized(bool /*over_ring*/) {}

  // Sends a reply or notification, header included, as one message.
  // ENOENT: the request was interrupted away, or the notified thing is not known: not a failure.
  virtual Result<void> send(unsigned queue, std::span<const iovec> message) = 0;

  // For a thread that sends nothing but notifications, by queue 0, once and first: from then on it
  // has descriptors of its own, and none but that queue's.  A notification may keep it in the
  // kernel when its process was killed; it is not to keep anything open then, a lock above all.
  virtual void isolate_notifier() {}

  // Registers a file that the kernel may read by itself; the backing id (> 0).
  // EPERM without CAP_SYS_ADMIN, ENOTTY or EOPNOTSUPP where the kernel cannot.
  virtual Result<int32_t> backing_open(int fd) = 0;
  virtual Result<void> backing_close(int32_t backing_id) = 0;

  // Wakes all receivers, which then answer ECANCELED.  Replies still go out.
  virtual void shutdown() = 0;
};

}  // namespace netfs::fuse
