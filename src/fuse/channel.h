#pragma once
// KernelChannel: the way to one kernel connection, whatever carries it.
//
// Implementations: device_channel.h (/dev/fuse and its clones), fake_kernel.h (a socket pair that
// plays the kernel, for tests); a ring would be a third.  A channel has one or more queues; each is
// read by one thread, or by several where there are fewer queues than threads.  A reply goes out
// through the queue that brought its request: the kernel looks for the request there only.
// Notifications may take any queue.
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

  // Waits for a message and reads it whole into `buffer`; its length.
  // ENODEV: unmounted or aborted.  ECANCELED: shutdown() was called.  EINTR and ENOENT never leave.
  virtual Result<size_t> receive(unsigned queue, std::span<std::byte> buffer) = 0;

  // Sends a reply or notification, header included, as one message.
  // ENOENT: the request was interrupted away, or the notified thing is not known: not a failure.
  virtual Result<void> send(unsigned queue, std::span<const iovec> message) = 0;

  // Registers a file that the kernel may read by itself; the backing id (> 0).
  // EPERM without CAP_SYS_ADMIN, ENOTTY or EOPNOTSUPP where the kernel cannot.
  virtual Result<int32_t> backing_open(int fd) = 0;
  virtual Result<void> backing_close(int32_t backing_id) = 0;

  // Wakes all receivers, which then answer ECANCELED.  Replies still go out.
  virtual void shutdown() = 0;
};

}  // namespace netfs::fuse
