#include "tests/tools/far_link/link.h"

#include <algorithm>
#include <csignal>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tests/tools/far_link/device.h"

namespace netfs::far_link {

namespace {

constexpr size_t kHeaderBytes = sizeof(PacketHeader);
constexpr size_t kPacketBytesMax = kHeaderBytes + 65536;
constexpr Duration kQueueMin = std::chrono::milliseconds(5);
// Of each frame on the wire: Ethernet's header, checksum, preamble and gap.
constexpr uint64_t kFrameBytes = 38;

// What the packet takes on the wire: as many frames as it is cut into, each with its headers.
uint64_t wire_bytes(const std::vector<uint8_t>& bytes) {
  PacketHeader header{};
  std::copy_n(bytes.data(), kHeaderBytes, reinterpret_cast<uint8_t*>(&header));
  const uint64_t length = bytes.size() - kHeaderBytes;
  if (header.gso_type == 0 || header.gso_bytes == 0) {
    return length + kFrameBytes;
  }
  const uint64_t headers = header.header_bytes;
  const uint64_t data = length > headers ? length - headers : 0;
  const uint64_t frames = std::max<uint64_t>(1, (data + header.gso_bytes - 1) / header.gso_bytes);
  return data + frames * (headers + kFrameBytes);
}

Result<UniqueFd> end_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT}) sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return Error::from_errno("far_link.signalfd");
  return fd;
}

}  // namespace

Link::Link(int device, const Options& options)
    : device_(device),
      queue_(options.queue != Duration::zero() ? options.queue
                                               : std::max(options.round_trip, kQueueMin)),
      shapers_{delay_proxy::Shaper(options.bits_per_second, options.round_trip / 2),
               delay_proxy::Shaper(options.bits_per_second, options.round_trip / 2)} {}

// What is not TCP over IPv4 (the host's own router solicitations) goes nowhere.
void Link::take_all(MonoTime now) {
  std::vector<uint8_t> bytes(kPacketBytesMax);
  for (;;) {
    const ssize_t n = ::read(device_, bytes.data(), bytes.size());
    if (n < 0) return;
    if (static_cast<size_t>(n) <= kHeaderBytes) continue;
    std::vector<uint8_t> packet(bytes.begin(), bytes.begin() + n);
    const std::span<uint8_t> ip = std::span(packet).subspan(kHeaderBytes);
    const std::optional<Ports> ports = tcp_ports(ip);
    if (!ports) continue;
    const int direction = directions_.of(*ports);
    if (shapers_[direction].backlog(now) > queue_) continue;  // Lost.
    turn_round(ip);
    const MonoTime release = shapers_[direction].admit(now, wire_bytes(packet));
    in_flight_[direction].push_back({release, std::move(packet)});
  }
}

void Link::release_due(MonoTime now) {
  for (std::deque<Packet>& packets : in_flight_) {
    while (!packets.empty() && packets.front().release <= now) {
      const std::vector<uint8_t>& bytes = packets.front().bytes;
      // What the kernel does not take is lost, as on any link.
      [[maybe_unused]] const ssize_t n = ::write(device_, bytes.data(), bytes.size());
      packets.pop_front();
    }
  }
}

MonoTime Link::next_release() const {
  MonoTime next = MonoTime::max();
  for (const std::deque<Packet>& packets : in_flight_) {
    if (!packets.empty()) next = std::min(next, packets.front().release);
  }
  return next;
}

Result<void> Link::run() {
  const UniqueFd signals = TRY(end_signals());
  pollfd wanted[2] = {{device_, POLLIN, 0}, {signals.get(), POLLIN, 0}};
  for (;;) {
    const MonoTime now = Clock::system().now();
    const MonoTime wake = next_release();
    const Duration left = std::max(Duration::zero(), Duration(wake - now));
    timespec wait{static_cast<time_t>(left.count() / 1'000'000'000), left.count() % 1'000'000'000};
    if (::ppoll(wanted, 2, wake == MonoTime::max() ? nullptr : &wait, nullptr) < 0 &&
        errno != EINTR) {
      return Error::from_errno("far_link.wait");
    }
    if (wanted[1].revents != 0) return {};
    take_all(Clock::system().now());
    release_due(Clock::system().now());
  }
}

}  // namespace netfs::far_link
