#pragma once
// DeviceChannel: a kernel connection over /dev/fuse and its clones, which somebody else opened.
//
// One queue a descriptor.  Receivers sleep in read(2) itself: the kernel then wakes one of them for
// each request, where sleeping in poll(2) wakes them all and costs two calls more.  shutdown()
// interrupts them by a signal (kWakeSignal, whose handler does nothing), sent until each has come
// back.
//
// At most kReceiversMax threads ever receive.  Thread-safe.
//
//   auto channel = TRY(DeviceChannel::create(std::move(fds)));

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "fuse/channel.h"

namespace netfs::fuse {

class DeviceChannel final : public KernelChannel {
 public:
  // Ignored by default, used by nothing else here.
  static constexpr int kWakeSignal = SIGURG;
  static constexpr size_t kReceiversMax = 256;

  // EINVAL: no descriptor.  They must be blocking, and are made so.
  static Result<std::unique_ptr<DeviceChannel>> create(std::vector<UniqueFd> fds);

  [[nodiscard]] unsigned queue_count() const override;
  Result<std::span<const std::byte>> receive(unsigned queue, std::span<std::byte> buffer) override;
  Result<void> send(unsigned queue, std::span<const iovec> message) override;
  void isolate_notifier() override;
  Result<int32_t> backing_open(int fd) override;
  Result<void> backing_close(int32_t backing_id) override;
  void shutdown() override;

 private:
  // A thread that has received from this channel.
  struct Receiver {
    std::atomic<int> tid{0};
    std::atomic<bool> inside{false};
  };

  explicit DeviceChannel(std::vector<UniqueFd> fds);
  Receiver* this_thread();

  const uint64_t id_;  // tells a thread whether the receiver it remembers is of this channel
  std::vector<UniqueFd> fds_;
  std::array<Receiver, kReceiversMax> receivers_;
  std::atomic<size_t> receiver_count_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace netfs::fuse
