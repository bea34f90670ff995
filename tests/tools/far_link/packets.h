#pragma once
// What far_link does with one packet: IPv4 as a TUN device gives it.
//
// turned_round() makes a packet to the far address one from it, by exchanging its two addresses: so
// the host talks to itself, over the link.  The checksums are sums over both and stay right.
// Directions tells the way to a server from the way back, by who sent the first SYN.
// Thread-safety: none.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <optional>
#include <span>
#include <unordered_set>

namespace netfs::far_link {

struct Ports {
  uint16_t from = 0;
  uint16_t to = 0;
  bool opens = false;  // a SYN that answers none
};

// Nothing for what is not whole TCP over IPv4.
inline std::optional<Ports> tcp_ports(std::span<const uint8_t> packet) {
  constexpr size_t kIpBytesMin = 20;
  constexpr size_t kTcpBytesMin = 20;
  if (packet.size() < kIpBytesMin || packet[0] >> 4 != 4 || packet[9] != IPPROTO_TCP) return {};
  const size_t tcp = static_cast<size_t>(packet[0] & 0xf) * 4;
  if (tcp < kIpBytesMin || packet.size() < tcp + kTcpBytesMin) return {};
  constexpr uint8_t kSyn = 0x02;
  constexpr uint8_t kAck = 0x10;
  const auto port = [&](size_t at) {
    return static_cast<uint16_t>(packet[tcp + at] << 8 | packet[tcp + at + 1]);
  };
  return Ports{port(0), port(2), (packet[tcp + 13] & (kSyn | kAck)) == kSyn};
}

// `packet` is one that tcp_ports() knows.
inline void turn_round(std::span<uint8_t> packet) {
  constexpr size_t kSource = 12;
  constexpr size_t kTarget = 16;
  uint8_t source[4];
  std::memcpy(source, &packet[kSource], sizeof source);
  std::memcpy(&packet[kSource], &packet[kTarget], sizeof source);
  std::memcpy(&packet[kTarget], source, sizeof source);
}

class Directions {
 public:
  // 0 to the server, 1 back.
  int of(const Ports& ports) {
    const uint32_t there = uint32_t{ports.from} << 16 | ports.to;
    const uint32_t back = uint32_t{ports.to} << 16 | ports.from;
    if (ports.opens) {
      to_server_.insert(there);
      to_server_.erase(back);
    }
    return to_server_.contains(there) || !to_server_.contains(back) ? 0 : 1;
  }

 private:
  std::unordered_set<uint32_t> to_server_;
};

}  // namespace netfs::far_link
