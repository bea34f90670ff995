#pragma once
// DeviceChannel: a kernel connection over /dev/fuse and its clones, which somebody else opened.
//
// One queue a descriptor.  Receivers sleep in read(2) itself: the kernel then wakes one of them for
// each request, where sleeping in poll(2) wakes them all and costs two calls more.  shutdown()
// interrupts them by a signal (kWakeSignal, whose handler does nothing), sent until each has come
// back.
//
//   auto channel = TRY(DeviceChannel::create(std::move(fds)));

#include <atomic>
#include <csignal>
#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "fuse/channel.h"

namespace netfs::fuse {

class DeviceChannel final : public KernelChannel {
 public:
  // Ignored by default, used by nothing else here.
  static constexpr int kWakeSignal = SIGURG;

  // EINVAL: no descriptor.  The descriptors must be blocking; they are made so.
  static Result<std::unique_ptr<DeviceChannel>> create(std::vector<UniqueFd> fds);
  ~DeviceChannel() override;

  [[nodiscard]] unsigned queue_count() const override;
  Result<size_t> receive(unsigned queue, std::span<std::byte> buffer) override;
  Result<void> send(unsigned queue, std::span<const iovec> message) override;
  Result<int32_t> backing_open(int fd) override;
  Result<void> backing_close(int32_t backing_id) override;
  void shutdown() override;

 private:
  struct Queue;
  explicit DeviceChannel(std::vector<UniqueFd> fds);

  std::vector<UniqueFd> fds_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::atomic<bool> stopping_{false};
};

}  // namespace netfs::fuse
