#include "daemon/control_socket.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/json_fields.h"
#include "daemon/packet.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr size_t kChunkBytes = 64 << 10;
constexpr int kBacklog = 64;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error(ENAMETOOLONG, "control", fmt::format("{} is too long for a socket", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<void> check_peer(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return Error::from_errno("control.peer");
  }
  if (peer.uid != ::geteuid()) {
    return Error(EACCES, "control",
                 fmt::format("the other side belongs to user {}, not {}", peer.uid, ::geteuid()));
  }
  return {};
}

}  // namespace

Result<UniqueFd> listen_control(const std::string& path) {
  const sockaddr_un address = TRY(address_of(path));
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::from_errno("control.socket");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Error::from_errno("control.unlink");
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(socket.get(), where, sizeof address) != 0) return Error::from_errno("control.bind");
  if (::listen(socket.get(), kBacklog) != 0) return Error::from_errno("control.listen");
  return socket;
}

Result<UniqueFd> accept_control(int listener) {
  UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return Error::from_errno("control.accept");
  TRY(check_peer(socket.get()));
  return socket;
}

Result<UniqueFd> connect_control(const std::string& path) {
  const sockaddr_un address = TRY(address_of(path));
  // Non-blocking: a full backlog is EAGAIN, not a wait without end.
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::from_errno("control.socket");
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(socket.get(), where, sizeof address) != 0) {
    return Error::from_errno("control.connect");
  }
  TRY(check_peer(socket.get()));
  return socket;
}

Result<void> send_message(int socket, std::string_view text, Deadline deadline) {
  if (text.size() > kJsonBytesMax) return Error(EMSGSIZE, "control.send");
  do {
    const std::string_view chunk = text.substr(0, kChunkBytes);
    text.remove_prefix(chunk.size());
    std::string packet(1, text.empty() ? '.' : '+');
    packet += chunk;
    TRY(send_packet(socket, packet, {}, deadline));
  } while (!text.empty());
  return {};
}

Result<std::string> receive_message(int socket, Deadline deadline) {
  std::string text;
  while (true) {
    const Packet packet = TRY(receive_packet(socket, deadline));
    const char mark = packet.text.front();
    if (mark != '.' && mark != '+') return Error(EPROTO, "control.receive");
    if (text.size() + packet.text.size() > kJsonBytesMax) return Error(EMSGSIZE, "control.receive");
    text.append(packet.text, 1);
    if (mark == '.') return text;
  }
}

}  // namespace netfs::daemon
