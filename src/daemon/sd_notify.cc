#include "daemon/sd_notify.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/unique_fd.h"

namespace netfs::daemon {

namespace {

constexpr timeval kPatience{.tv_sec = 1, .tv_usec = 0};

struct Address {
  sockaddr_un name{};
  socklen_t length = 0;  // 0: nobody is there
};

Address manager() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  Address address;
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return address;
  const size_t length = std::strlen(path);
  if (length >= sizeof address.name.sun_path) return address;
  address.name.sun_family = AF_UNIX;
  std::memcpy(address.name.sun_path, path, length);
  if (path[0] == '@') address.name.sun_path[0] = '\0';  // the abstract name space
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  return address;
}

bool send(std::string_view state, int fd, int flags) {
  Address address = manager();
  if (address.length == 0) return false;
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  iovec text{.iov_base = const_cast<char*>(state.data()), .iov_len = state.size()};
  alignas(cmsghdr) char rights[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_name = &address.name;
  message.msg_namelen = address.length;
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = rights;
    message.msg_controllen = sizeof rights;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return ::sendmsg(socket.get(), &message, MSG_NOSIGNAL | flags) >= 0;
}

}  // namespace

void sd_notify(std::string_view state) {
  // Whether anybody listens is systemd's affair.
  (void)send(state, -1, MSG_DONTWAIT);
}

size_t descriptor_store_size() {
  const char* count = std::getenv("FDSTORE");
  const int size = count == nullptr || manager().length == 0 ? 0 : std::atoi(count);
  return static_cast<size_t>(std::max(size, 0));
}

bool has_descriptor_store() {
  return descriptor_store_size() > 0;
}

bool sd_notify_store(std::string_view state, int fd) {
  return send(state, fd, 0);
}

}  // namespace netfs::daemon
