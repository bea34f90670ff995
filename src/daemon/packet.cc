#include "daemon/packet.h"

#include <algorithm>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace netfs::daemon {

namespace {

int poll_timeout_ms(Deadline deadline) {
  if (deadline.at == MonoTime::max()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline.at - Clock::system().now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
}

Result<void> wait_for(int fd, int16_t events, Deadline deadline) {
  while (true) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, poll_timeout_ms(deadline));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return Error::from_errno("packet.poll");
    if (deadline.passed(Clock::system().now())) return Error(ETIMEDOUT, "packet");
  }
}

// The descriptors that came with a message.
std::vector<UniqueFd> take_fds(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> packet_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return Error::from_errno("socketpair");
  }
  return std::make_pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<void> wait_readable(int fd, Deadline deadline) {
  return wait_for(fd, POLLIN, deadline);
}

Result<void> send_packet(int socket, std::string_view text, const std::vector<int>& fds,
                         Deadline deadline) {
  if (text.empty() || text.size() > kPacketBytesMax || fds.size() > kPacketFdsMax) {
    return Error(EMSGSIZE, "packet.send");
  }
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kPacketFdsMax)] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  while (true) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return {};
    if (errno == EPIPE) return Error(ECONNRESET, "packet.send");
    if (errno == EAGAIN) {
      TRY(wait_for(socket, POLLOUT, deadline));
    } else if (errno != EINTR) {
      return Error::from_errno("packet.send");
    }
  }
}

Result<Packet> receive_packet(int socket, Deadline deadline, LackOfFds lack) {
  Packet packet;
  packet.text.resize(kPacketBytesMax);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kPacketFdsMax)];
  bool reset_seen = false;
  while (true) {
    iovec data{packet.text.data(), packet.text.size()};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t length = ::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0 && errno == EAGAIN) {
      TRY(wait_readable(socket, deadline));
      continue;
    }
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == ECONNRESET && !std::exchange(reset_seen, true)) {
      // The peer died with packets of ours unread.  The kernel says so once, and before it gives
      // what the peer had sent: that lies behind it.
      continue;
    }
    if (length < 0) return Error::from_errno("packet.receive");
    packet.fds = take_fds(header);
    if (length == 0) return Error(ECONNRESET, "packet.receive");
    if ((header.msg_flags & MSG_TRUNC) != 0) return Error(EMSGSIZE, "packet.receive");
    packet.lacks_fds = (header.msg_flags & MSG_CTRUNC) != 0;
    if (packet.lacks_fds && lack == LackOfFds::kIsAnError) return Error(EPROTO, "packet.receive");
    if (packet.lacks_fds) packet.fds.clear();
    packet.text.resize(static_cast<size_t>(length));
    return packet;
  }
}

}  // namespace netfs::daemon
