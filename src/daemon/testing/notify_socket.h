#pragma once
// NotifySocket: a socket in the place of the service manager's, which the environment of this
// process names while it lives; and says that descriptors are kept.
//
//   NotifySocket manager;
//   manager.make_busy();

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "daemon/sd_notify.h"

namespace netfs::daemon {

class NotifySocket {
 public:
  NotifySocket() {
    const std::string name = "netfs-test-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    const size_t length = offsetof(sockaddr_un, sun_path) + 1 + name.size();
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address),
                     static_cast<socklen_t>(length)),
              0);
    ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
    ::setenv("FDSTORE", "64", 1);
  }
  ~NotifySocket() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("FDSTORE");
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }

  // So much has been said, and not been read yet, that no more can be.
  static constexpr const char* kOfOthers = "WATCHDOG=1";
  static void make_busy() {
    int told = 0;
    while (sd_notify_store(kOfOthers, -1).ok()) ASSERT_LT(++told, 100'000);
    EXPECT_TRUE(sd_notify_store(kOfOthers, -1).is_error(EAGAIN));
  }

 private:
  const UniqueFd fd_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
};

}  // namespace netfs::daemon
