#include "daemon/sd_notify.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/unique_fd.h"

namespace netfs::daemon {

namespace {

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

Result<void> send(std::string_view state, int fd) {
  Address address = manager();
  if (address.length == 0) return Error(ENOTCONN, "sd_notify");
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno("sd_notify");
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
  if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    return Error::from_errno("sd_notify");
  }
  return {};
}

}  // namespace

void sd_notify(std::string_view state) {
  // Whether anybody listens is systemd's affair.
  (void)send(state, -1).ok();
}

size_t descriptor_store_size() {
  const char* count = std::getenv("FDSTORE");
  const int size = count == nullptr || manager().length == 0 ? 0 : std::atoi(count);
  return static_cast<size_t>(std::max(size, 0));
}

bool has_descriptor_store() {
  return descriptor_store_size() > 0;
}

Result<void> sd_notify_store(std::string_view state, int fd) {
  return send(state, fd);
}

}  // namespace netfs::daemon
