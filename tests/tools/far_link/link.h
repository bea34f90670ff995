#pragma once
// Link: carries what a TUN device is given over a slow way and back into it.
//
// Each direction passes `bits_per_second` in sum, then takes half the round trip; what finds
// `queue` of the link's time waiting before it is dropped, as a router does whose buffer is full.
// The kernel's TCP stands at both ends: windows, slow start and what congestion control makes of a
// loss are real, where delay_proxy ends each connection in itself.
//
// One thread; SIGTERM and SIGINT end it.

#include <cstdint>
#include <deque>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/tools/delay_proxy/shaper.h"
#include "tests/tools/far_link/packets.h"

namespace netfs::far_link {

struct Options {
  Duration round_trip{};
  uint64_t bits_per_second = 0;  // 0: no limit
  Duration queue{};              // 0: as long as the round trip, at least 5 ms
};

class Link {
 public:
  // `device` is that of make_device() and outlives this.
  Link(int device, const Options& options);
  // Until SIGTERM.
  Result<void> run();

 private:
  struct Packet {
    MonoTime release;
    std::vector<uint8_t> bytes;
  };
  void take_all(MonoTime now);
  void release_due(MonoTime now);
  [[nodiscard]] MonoTime next_release() const;

  const int device_;
  const Duration queue_;
  delay_proxy::Shaper shapers_[2];  // 0 to the server, 1 back
  std::deque<Packet> in_flight_[2];
  Directions directions_;
};

}  // namespace netfs::far_link
