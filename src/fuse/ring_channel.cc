#include "fuse/ring_channel.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sched.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "fuse/negotiate.h"

namespace netfs::fuse {

namespace {

constexpr unsigned kEntriesOfAll = 512;

// Processors that are there or may come: the kernel wants an entry for each.  The file says "0-3",
// or "0-1,4-7".
unsigned processors() {
  std::ifstream file("/sys/devices/system/cpu/possible");
  std::string text;
  const bool read = static_cast<bool>(file >> text);
  const size_t last = text.find_last_of("-,");
  const std::string_view number =
      std::string_view(text).substr(last == std::string::npos ? 0 : last + 1);
  unsigned highest = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), highest);
  if (read && error == std::errc() && end == number.data() + number.size()) return highest + 1;
  const long count = ::sysconf(_SC_NPROCESSORS_CONF);
  return count > 0 ? static_cast<unsigned>(count) : 1;
}

}  // namespace

Result<void> RingChannel::make_rings(int fuse_fd) {
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
    rings_.push_back(
        TRY(RingQueue::create({.fuse_fd = fuse_fd,
                               .cpu = cpu,
                               .entries = entries,
                               .also = rings_.empty() ? std::move(others) : std::vector<unsigned>(),
                               .entries_also = kEntriesMin,
                               .payload_bytes = kRingRequestBytes})));
  }
  return {};
}

RingChannel::~RingChannel() = default;

Result<std::unique_ptr<RingChannel>> RingChannel::create(std::vector<UniqueFd>& fds) {
  if (fds.empty()) return Error(EINVAL, "fuse.ring", "no FUSE descriptor was handed over");
  std::unique_ptr<RingChannel> channel(new RingChannel);
  TRY(channel->make_rings(fds[0].get()));
  channel->device_ = TRY(DeviceChannel::create(std::move(fds)));
  return channel;
}

unsigned RingChannel::queue_count() const {
  return device_->queue_count() + static_cast<unsigned>(rings_.size());
}

bool RingChannel::places_its_thread(unsigned queue) const {
  return queue >= device_->queue_count();
}

size_t RingChannel::buffer_bytes(unsigned queue, size_t message_bytes) const {
  return places_its_thread(queue) ? std::min(message_bytes, RingQueue::kCopyBytesMax)
                                  : message_bytes;
}

bool RingChannel::over_ring() const {
  const bool usable =
      std::all_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->usable(); });
  sync::MutexLock lock(mutex_);
  return usable && state_ == State::kRing;
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

// For all that wait here, also where the kernel never had a ring of ours.
void RingChannel::end() {
  for (const auto& ring : rings_) ring->wake();
  sync::MutexLock lock(mutex_);
  state_ = State::kEnded;
  changed_.notify_all();
}

void RingChannel::shutdown() {
  end();
  device_->shutdown();
}

}  // namespace netfs::fuse
