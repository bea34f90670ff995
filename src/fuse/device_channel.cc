#include "fuse/device_channel.h"

#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuse/device_ioctl.h"
#include "fuse/protocol.h"
#include "telemetry/log.h"

namespace netfs::fuse {

namespace {

void wake_handler(int /*signal*/) {}

// Without SA_RESTART, so that read(2) comes back with EINTR.
Result<void> install_wake_handler() {
  struct sigaction action {};
  action.sa_handler = wake_handler;
  sigemptyset(&action.sa_mask);
  if (::sigaction(DeviceChannel::kWakeSignal, &action, nullptr) != 0) {
    return Error::from_errno("fuse.wake_handler");
  }
  return {};
}

uint64_t next_channel_id() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1) + 1;
}

}  // namespace

DeviceChannel::DeviceChannel(std::vector<UniqueFd> fds)
    : id_(next_channel_id()), fds_(std::move(fds)) {}

Result<std::unique_ptr<DeviceChannel>> DeviceChannel::create(std::vector<UniqueFd> fds) {
  if (fds.empty()) return Error(EINVAL, "fuse.channel", "no FUSE descriptor was handed over");
  for (const UniqueFd& fd : fds) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0) return Error::from_errno("fuse.channel");
    if ((flags & O_NONBLOCK) != 0 && ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
      return Error::from_errno("fuse.channel");
    }
  }
  TRY(install_wake_handler());
  return std::unique_ptr<DeviceChannel>(new DeviceChannel(std::move(fds)));
}

unsigned DeviceChannel::queue_count() const {
  return static_cast<unsigned>(fds_.size());
}

DeviceChannel::Receiver* DeviceChannel::this_thread() {
  thread_local uint64_t remembered_id = 0;
  thread_local Receiver* remembered = nullptr;
  if (remembered_id == id_) return remembered;
  const size_t index = receiver_count_.fetch_add(1);
  if (index >= receivers_.size()) return nullptr;
  sigset_t wake;
  sigemptyset(&wake);
  sigaddset(&wake, kWakeSignal);
  pthread_sigmask(SIG_UNBLOCK, &wake, nullptr);
  receivers_[index].tid.store(static_cast<int>(::syscall(SYS_gettid)));
  remembered = &receivers_[index];
  remembered_id = id_;
  return remembered;
}

Result<std::span<const std::byte>> DeviceChannel::receive(unsigned queue,
                                                          std::span<std::byte> buffer) {
  Receiver* self = this_thread();
  if (self == nullptr) return Error(EAGAIN, "fuse.receive", "too many threads read one channel");
  const int fd = fds_[queue].get();
  while (true) {
    // Sequentially consistent with shutdown(): either it sees us inside, or we see it stopping.
    self->inside.store(true);
    if (stopping_.load()) {
      self->inside.store(false);
      return Error(ECANCELED, "fuse.receive");
    }
    const ssize_t length = ::read(fd, buffer.data(), buffer.size());
    const int code = errno;
    self->inside.store(false, std::memory_order_release);
    if (length > 0) return buffer.first(static_cast<size_t>(length));
    if (length == 0) return Error(ENODEV, "fuse.receive");
    // ENOENT: the request was interrupted while it was being read.
    if (code == EINTR || code == ENOENT || code == EAGAIN) continue;
    // ECONNABORTED is an unmount by force, for those who asked to tell them apart.
    if (code == ECONNABORTED) return Error(ENODEV, "fuse.receive");
    return Error(code, "fuse.receive");
  }
}

Result<void> DeviceChannel::send(unsigned queue, std::span<const iovec> message) {
  const ssize_t sent =
      ::writev(fds_[queue].get(), message.data(), static_cast<int>(message.size()));
  if (sent < 0) return Error::from_errno("fuse.send");
  return {};
}

void DeviceChannel::isolate_notifier() {
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  const auto kept = static_cast<unsigned>(fds_[0].get());
  // Not unshare(2): containers refuse that.
  if (::close_range(kept + 1, ~0U, CLOSE_RANGE_UNSHARE) != 0) {
    return telemetry::log_warn(
        "fuse",
        "close_range is refused ({}): a worker that is killed while it tells "
        "the kernel to forget something may keep its journal and cache",
        Error::from_errno("close_range").message());
  }
  if (kept > kFirst) ::close_range(kFirst, kept - 1, 0);
}

Result<int32_t> DeviceChannel::backing_open(int fd) {
  proto::BackingMap map{.fd = fd, .flags = 0, .padding = 0};
  const int id = ::ioctl(fds_[0].get(), kIocBackingOpen, &map);
  if (id < 0) return Error::from_errno("fuse.backing_open");
  if (id == 0) return Error(EIO, "fuse.backing_open");
  return id;
}

Result<void> DeviceChannel::backing_close(int32_t backing_id) {
  const auto id = static_cast<uint32_t>(backing_id);
  if (::ioctl(fds_[0].get(), kIocBackingClose, &id) != 0) {
    return Error::from_errno("fuse.backing_close");
  }
  return {};
}

void DeviceChannel::shutdown() {
  stopping_.store(true);
  // A signal that arrives between a receiver's look at stopping_ and its read is lost, hence again
  // and again; what is left after five seconds does not sleep in read.
  constexpr timespec kPause{0, 1'000'000};
  const int pid = ::getpid();
  for (int round = 0; round < 5000; ++round) {
    bool quiet = true;
    for (const Receiver& receiver : receivers_) {
      if (!receiver.inside.load()) continue;
      quiet = false;
      ::syscall(SYS_tgkill, pid, receiver.tid.load(), kWakeSignal);
    }
    if (quiet) return;
    ::nanosleep(&kPause, nullptr);
  }
}

}  // namespace netfs::fuse
