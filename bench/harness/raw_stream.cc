#include "harness/raw_stream.h"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <vector>

#include "base/kill_process.h"

namespace netfs::bench {

namespace {

constexpr size_t kChunkBytes = 256 << 10;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// Answers one connection's requests until it ends.
void serve(int fd) {
  std::vector<char> zeroes(kChunkBytes);
  uint64_t wanted = 0;
  while (::recv(fd, &wanted, sizeof wanted, MSG_WAITALL) == sizeof wanted) {
    while (wanted > 0) {
      ssize_t sent = ::send(fd, zeroes.data(), std::min<uint64_t>(wanted, zeroes.size()), 0);
      if (sent <= 0) return;
      wanted -= static_cast<uint64_t>(sent);
    }
  }
}

}  // namespace

Result<RawServer> RawServer::start() {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  if (!listener || ::bind(listener.get(), raw, length) != 0 || ::listen(listener.get(), 8) != 0 ||
      ::getsockname(listener.get(), raw, &length) != 0) {
    return Error::from_errno("bench.raw_server");
  }
  pid_t pid = ::fork();
  if (pid < 0) return Error::from_errno("bench.fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::signal(SIGPIPE, SIG_IGN);
    for (;;) {
      UniqueFd connection(::accept(listener.get(), nullptr, nullptr));
      if (!connection) ::_exit(1);
      serve(connection.get());
    }
  }
  return RawServer(pid, ntohs(address.sin_port));
}

RawServer::~RawServer() {
  if (pid_ < 0) return;
  kill_process(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<RawStream> RawStream::connect(uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(port);
  timeval minute{.tv_sec = 60, .tv_usec = 0};
  int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute) != 0 ||
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("bench.raw_connect");
  }
  return RawStream(std::move(fd));
}

Result<void> RawStream::fetch(uint64_t length_bytes) {
  if (::send(fd_.get(), &length_bytes, sizeof length_bytes, MSG_NOSIGNAL) != sizeof length_bytes) {
    return Error::from_errno("bench.raw_send");
  }
  std::vector<char> buffer(kChunkBytes);
  for (uint64_t left = length_bytes; left > 0;) {
    ssize_t got = ::recv(fd_.get(), buffer.data(), std::min<uint64_t>(left, buffer.size()), 0);
    if (got == 0) return Error(ECONNRESET, "bench.raw_fetch");
    if (got < 0) return Error(errno == EAGAIN ? ETIMEDOUT : errno, "bench.raw_fetch");
    left -= static_cast<uint64_t>(got);
  }
  return {};
}

}  // namespace netfs::bench
