#pragma once
// packet: one message, with descriptors, over a local SOCK_SEQPACKET socket; all waits are bounded.
//
// A packet is at most kPacketBytesMax long and arrives whole; sending one is atomic, so threads may
// share a socket without a lock.  Received descriptors are close-on-exec.
//
// Errors: ETIMEDOUT at the deadline; ECONNRESET when the other side is gone, also on receive();
// EMSGSIZE for what is too long; EPROTO when descriptors were cut off.
//
//   TRY(send_packet(socket, text, {fd}, deadline));
//   Packet packet = TRY(receive_packet(socket, deadline));

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::daemon {

inline constexpr size_t kPacketBytesMax = 128 << 10;  // half of a socket's default buffer
inline constexpr size_t kPacketFdsMax = 64;

struct Packet {
  std::string text;
  std::vector<UniqueFd> fds;
  bool lacks_fds = false;  // this process has no room for them; then there are none
};

enum class LackOfFds { kIsAnError, kIsTold };

// Two connected ends, close-on-exec.
Result<std::pair<UniqueFd, UniqueFd>> packet_pair();

Result<void> send_packet(int socket, std::string_view text, const std::vector<int>& fds,
                         Deadline deadline);
Result<Packet> receive_packet(int socket, Deadline deadline,
                              LackOfFds lack = LackOfFds::kIsAnError);

// Waits until `fd` has something to read, or its other end is gone.
Result<void> wait_readable(int fd, Deadline deadline);

}  // namespace netfs::daemon
