#include "fuse/ring_channel.h"

#include <algorithm>
#include <sched.h>
#include <unistd.h>
#include <utility>

#include "fuse/negotiate.h"

namespace netfs::fuse {

namespace {

constexpr unsigned kEntriesOfAll = 512;
constexpr unsigned kEntriesMin = 8;

// Of processors that are there or may come: the kernel wants an entry for each.
unsigned processors() {
  const long count = ::sysconf(_SC_NPROCESSORS_CONF);
  return count > 0 ? static_cast<unsigned>(count) : 1;
}

}  // namespace

RingChannel::RingChannel(int fuse_fd, std::unique_ptr<DeviceChannel> device)
    : device_(std::move(device)) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) CPU_SET(0, &allowed);
  std::vector<unsigned> served;
  std::vector<unsigned> others;
  for (unsigned cpu = 0; cpu < processors(); ++cpu) {
    (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed) ? served : others).push_back(cpu);
  }
  if (served.empty()) served.swap(others);
  const auto entries = static_cast<unsigned>(
      std::clamp<size_t>(kEntriesOfAll / served.size(), kEntriesMin, kEntriesMax));
  for (const unsigned cpu : served) {
    rings_.push_back(std::make_unique<RingQueue>(
        RingQueue::Setup{.fuse_fd = fuse_fd,
                         .cpu = cpu,
                         .also = rings_.empty() ? std::move(others) : std::vector<unsigned>(),
                         .entries = entries,
                         .payload_bytes = kRingRequestBytes}));
  }
}

RingChannel::~RingChannel() = default;

Result<std::unique_ptr<RingChannel>> RingChannel::create(std::vector<UniqueFd> fds) {
  TRY(RingQueue::probe());
  const int fuse_fd = fds.empty() ? -1 : fds[0].get();
  return std::unique_ptr<RingChannel>(
      new RingChannel(fuse_fd, TRY(DeviceChannel::create(std::move(fds)))));
}

unsigned RingChannel::queue_count() const {
  return device_->queue_count() + static_cast<unsigned>(rings_.size());
}

bool RingChannel::places_its_thread(unsigned queue) const {
  return queue >= device_->queue_count();
}

RingChannel::State RingChannel::wait_for_begin() {
  sync::MutexLock lock(mutex_);
  // Without a ring there is nothing to do here until the end.
  while (state_ == State::kBefore || state_ == State::kDeviceOnly) changed_.wait(mutex_);
  return state_;
}

Result<std::span<const std::byte>> RingChannel::receive(unsigned queue,
                                                        std::span<std::byte> buffer) {
  const unsigned devices = device_->queue_count();
  if (queue >= devices) {
    if (wait_for_begin() == State::kEnded) return Error(ECANCELED, "fuse.ring");
    return rings_[queue - devices]->receive(buffer);
  }
  Result<std::span<const std::byte>> received = device_->receive(queue, buffer);
  if (!received.ok()) end();  // the rings that never began would wait for ever
  return received;
}

Result<void> RingChannel::send(unsigned queue, std::span<const iovec> message) {
  const unsigned devices = device_->queue_count();
  return queue < devices ? device_->send(queue, message) : rings_[queue - devices]->send(message);
}

void RingChannel::initialized(bool over_ring) {
  sync::MutexLock lock(mutex_);
  if (state_ != State::kBefore) return;
  state_ = over_ring ? State::kRing : State::kDeviceOnly;
  changed_.notify_all();
}

void RingChannel::end() {
  sync::MutexLock lock(mutex_);
  if (state_ != State::kRing) state_ = State::kEnded;
  changed_.notify_all();
}

void RingChannel::shutdown() {
  end();
  for (const auto& ring : rings_) ring->wake();
  device_->shutdown();
}

}  // namespace netfs::fuse
