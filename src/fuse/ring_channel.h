#pragma once
// RingChannel: a kernel connection over io_uring, beside /dev/fuse.
//
// The first queues are those of a DeviceChannel: INIT, FORGET and INTERRUPT always come there, and
// everything where the kernel does not offer a ring (the fuse module's parameter enable_uring,
// Linux 6.14) or refuses ours.  Behind them is one queue for each processor this process may use,
// answered on that processor: one call to the kernel a request where /dev/fuse takes two, and no
// other processor is woken.  Processors it may not use are served by the first of them.
//
// What it gives up: a ring's requests are lost with the process that owns it, so nobody can go on
// with the connection when that dies; an INTERRUPT that overtakes its request is not chased; and a
// processor has a bounded number of requests under way, the rest wait in the kernel.
//
// Thread-safe, but that each queue behind the first ones is received from by one thread.
//
//   auto channel = RingChannel::create(fds);     // where it fails, fds are as before

#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "fuse/channel.h"
#include "fuse/device_channel.h"
#include "fuse/ring_queue.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::fuse {

class RingChannel final : public KernelChannel {
 public:
  static constexpr unsigned kEntriesMax = 64;  // of one processor

  // For processors of ours: 512 requests of all together, within these bounds.  The least is what
  // all others have; more than the answers that may wait for others' (vfs/limits.h).
  static constexpr unsigned kEntriesMin = 16;

  // Takes `fds` where it succeeds.  ENOSYS, EPERM, ENOMEM, EMFILE: no io_uring for this process.
  static Result<std::unique_ptr<RingChannel>> create(std::vector<UniqueFd>& fds);
  ~RingChannel() override;

  [[nodiscard]] unsigned queue_count() const override;
  [[nodiscard]] bool places_its_thread(unsigned queue) const override;
  [[nodiscard]] size_t buffer_bytes(unsigned queue, size_t message_bytes) const override;
  [[nodiscard]] bool over_ring() const override EXCLUDES(mutex_);
  Result<std::span<const std::byte>> receive(unsigned queue, std::span<std::byte> buffer) override;
  Result<void> send(unsigned queue, std::span<const iovec> message) override;
  void isolate_notifier() override { device_->isolate_notifier(); }
  Result<int32_t> backing_open(int fd) override { return device_->backing_open(fd); }
  Result<void> backing_close(int32_t id) override { return device_->backing_close(id); }
  void initialized(bool over_ring) override EXCLUDES(mutex_);
  void shutdown() override EXCLUDES(mutex_);

 private:
  enum class State { kBefore, kRing, kDeviceOnly, kEnded };

  RingChannel() = default;
  Result<void> make_rings(int fuse_fd);
  State wait_for_begin() EXCLUDES(mutex_);
  void end() EXCLUDES(mutex_);

  std::unique_ptr<DeviceChannel> device_;
  std::vector<std::unique_ptr<RingQueue>> rings_;

  mutable sync::Mutex mutex_{kRingLock};
  sync::CondVar changed_;
  State state_ GUARDED_BY(mutex_) = State::kBefore;
};

}  // namespace netfs::fuse
