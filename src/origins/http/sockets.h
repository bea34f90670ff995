#pragma once
// Sockets: the connections that libcurl has open, made with our options, and ended when their peer
// is believed gone.
//
// Kernel's part in noticing a peer that vanished: TCP_USER_TIMEOUT ends a connection whose sent
// bytes nobody acknowledges (a request on a connection whose other end is a black hole), keep-alive
// one that is only waiting.
//
// Used by the engine's thread only, but for open_count().

#include <atomic>
#include <cstdint>
#include <set>
#include <sys/socket.h>

#include "base/clock.h"

namespace netfs::origins::http {

class Sockets {
 public:
  explicit Sockets(Duration timeout) : timeout_(timeout) {}

  // For libcurl: a new socket, -1; and its end.
  int open(int family, int type, int protocol);
  void close(int fd);

  // Ends the connection that goes out from this local port: who uses it hears of it at once.
  void end_connection_from(uint16_t local_port);

  [[nodiscard]] uint64_t open_count() const { return count_.load(std::memory_order_relaxed); }

 private:
  const Duration timeout_;
  std::set<int> open_;
  std::atomic<uint64_t> count_{0};
};

}  // namespace netfs::origins::http
