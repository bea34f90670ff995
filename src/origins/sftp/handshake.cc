#include "origins/sftp/handshake.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <vector>

namespace netfs::origins::sftp {

namespace {

constexpr uint32_t kFirstPacketBytesMax = 64 * 1024;
constexpr uint64_t kReadBytesMax = 255 * 1024;  // OpenSSH's own limit; larger pieces gain nothing

class Talk {
 public:
  Talk(int fd, int cancel_fd, const std::string& name, Deadline deadline, const Clock& clock)
      : fd_(fd), cancel_fd_(cancel_fd), name_(name), deadline_(deadline), clock_(clock) {}

  Result<void> send(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) {
        bytes = bytes.subspan(static_cast<size_t>(n));
      } else if (errno == EAGAIN) {
        TRY(wait(POLLOUT));
      } else if (errno != EINTR) {
        return Error(EPIPE, "sftp.connect");
      }
    }
    return {};
  }

  // One whole packet's payload.
  Result<std::vector<std::byte>> receive() const {
    std::vector<std::byte> length = TRY(receive_bytes(4));
    Reader reader(length);
    const uint32_t bytes = TRY(reader.u32());
    if (bytes == 0 || bytes > kFirstPacketBytesMax) {
      return Error(EPROTO, "sftp.connect",
                   name_ +
                       ": the server's first words are not SFTP (does a login script there "
                       "print something?)");
    }
    return receive_bytes(bytes);
  }

 private:
  Result<std::vector<std::byte>> receive_bytes(size_t wanted) const {
    std::vector<std::byte> bytes(wanted);
    size_t done = 0;
    while (done < wanted) {
      const ssize_t n = ::recv(fd_, bytes.data() + done, wanted - done, 0);
      if (n > 0) {
        done += static_cast<size_t>(n);
      } else if (n < 0 && errno == EAGAIN) {
        TRY(wait(POLLIN));
      } else if (n == 0 || errno != EINTR) {
        return Error(EPIPE, "sftp.connect");
      }
    }
    return bytes;
  }

  Result<void> wait(short events) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_.at - clock_.now());
    if (left.count() <= 0) {
      return Error(ETIMEDOUT, "sftp.connect", name_ + ": the host did not answer in time");
    }
    pollfd waits[2] = {{fd_, events, 0}, {cancel_fd_, POLLIN, 0}};
    ::poll(waits, 2, static_cast<int>(std::min<int64_t>(left.count(), 1000)));
    if (waits[1].revents != 0) return Error(ECANCELED, "sftp.connect");
    return {};
  }

  const int fd_;
  const int cancel_fd_;
  const std::string& name_;
  const Deadline deadline_;
  const Clock& clock_;
};

}  // namespace

Result<Greeting> shake_hands(int fd, int cancel_fd, const std::string& name, Deadline deadline,
                             const Clock& clock) {
  const Talk talk(fd, cancel_fd, name, deadline, clock);
  Greeting greeting;
  Packet packet;
  append_init(packet);
  TRY(talk.send(packet));
  const std::vector<std::byte> version = TRY(talk.receive());
  Reader reader(version);
  if (TRY(reader.u8()) != static_cast<uint8_t>(PacketType::kVersion)) {
    return Error(EPROTO, "sftp.connect", name + ": the server does not speak SFTP");
  }
  greeting.version = TRY(decode_version(reader));
  if (greeting.version.version < 3) {
    return Error(EPROTO, "sftp.connect", name + ": the server's SFTP is older than version 3");
  }
  packet.clear();
  if (greeting.version.limits) {
    append_extended(packet, 0, "limits@openssh.com", {});
  } else {
    append_path_request(packet, PacketType::kRealpath, 0, ".");
  }
  const MonoTime asked = clock.now();
  TRY(talk.send(packet));
  const std::vector<std::byte> answer = TRY(talk.receive());
  greeting.round_trip = clock.now() - asked;
  Reader limits_reader(answer);
  const uint8_t type = TRY(limits_reader.u8());
  if (TRY(limits_reader.u32()) != 0) {
    return Error(EPROTO, "sftp.connect", name + ": the server answers what was not asked");
  }
  if (greeting.version.limits && type == static_cast<uint8_t>(PacketType::kExtendedReply)) {
    const ServerLimits limits = TRY(decode_limits(limits_reader));
    greeting.open_handles_max = limits.open_handles_max;
    if (limits.read_bytes_max > 0) {
      greeting.read_bytes_max = std::min(limits.read_bytes_max, kReadBytesMax);
    }
    if (limits.write_bytes_max > 0) {
      greeting.write_bytes_max = std::min(limits.write_bytes_max, kReadBytesMax);
    }
  }
  return greeting;
}

}  // namespace netfs::origins::sftp
