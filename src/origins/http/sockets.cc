#include "origins/http/sockets.h"

#include <algorithm>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

namespace netfs::origins::http {

namespace {

// Long enough for a link that stutters, short enough that a request still has time for another try.
constexpr std::chrono::milliseconds kUnacknowledgedMax{10'000};
constexpr int kProbeAfterSeconds = 15;
constexpr int kProbeEverySeconds = 5;
constexpr int kProbes = 3;

// As much as the system allows: without one of them a vanished peer is noticed later.
void set(int fd, int level, int name, int value) {
  (void)::setsockopt(fd, level, name, &value, sizeof(value));
}

uint16_t local_port_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  if (address.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  }
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  }
  return 0;
}

}  // namespace

int Sockets::open(int family, int type, int protocol) {
  const int fd = ::socket(family, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) return fd;
  if (family == AF_INET || family == AF_INET6) {
    const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(timeout_);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
        static_cast<int>(std::clamp<int64_t>(timeout.count(), 1, kUnacknowledgedMax.count())));
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, kProbeAfterSeconds);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, kProbeEverySeconds);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
  }
  open_.insert(fd);
  count_.store(open_.size(), std::memory_order_relaxed);
  return fd;
}

void Sockets::close(int fd) {
  open_.erase(fd);
  count_.store(open_.size(), std::memory_order_relaxed);
  ::close(fd);
}

void Sockets::end_connection_from(uint16_t local_port) {
  if (local_port == 0) return;
  for (const int fd : open_) {
    // The descriptor stays libcurl's, which finds the end of the stream on it.
    if (local_port_of(fd) == local_port) ::shutdown(fd, SHUT_RDWR);
  }
}

}  // namespace netfs::origins::http
