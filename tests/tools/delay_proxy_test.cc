// delay_proxy before a server of our own: bytes pass unchanged, and as late and as slowly as asked.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "sync/thread.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kTimeout{20};

sockaddr_in loopback(unsigned port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// Sends everything back, one connection after another, until the listener is shut down.
class EchoServer {
 public:
  EchoServer() : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), raw, length), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    EXPECT_EQ(::getsockname(listener_.get(), raw, &length), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::make_unique<sync::Thread>("echo", [this] { serve(); });
  }
  ~EchoServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_->join();
  }
  [[nodiscard]] unsigned port() const { return port_; }

 private:
  void serve() {
    std::vector<char> buffer(64 << 10);
    for (;;) {
      UniqueFd fd(::accept(listener_.get(), nullptr, nullptr));
      if (!fd) return;
      for (;;) {
        const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
        if (got <= 0) break;
        if (::send(fd.get(), buffer.data(), static_cast<size_t>(got), MSG_NOSIGNAL) != got) break;
      }
    }
  }

  UniqueFd listener_;
  unsigned port_ = 0;
  std::unique_ptr<sync::Thread> thread_;
};

class DelayProxy : public testing::Test {
 protected:
  // The port of a proxy before the echo server; 0: it did not start.
  unsigned start(const std::string& rtt, const std::string& bandwidth) {
    const std::string log = temp_ / "proxy.log";
    proxy_ = std::make_unique<Process>(
        std::vector<std::string>{NETFS_TEST_DELAY_PROXY, "--target",
                                 "127.0.0.1:" + std::to_string(server_.port()), "--rtt", rtt,
                                 "--bandwidth", bandwidth},
        log);
    wait_until([&] { return read_text(log).find('\n') != std::string::npos; }, kTimeout);
    return static_cast<unsigned>(std::atoi(read_text(log).c_str()));
  }

  static UniqueFd connect_to(unsigned port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
    timeval timeout{.tv_sec = kTimeout.count(), .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    const sockaddr_in address = loopback(port);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      fd.reset();
    }
    return fd;
  }

  // Sends and receives at once, so that no buffer between can hold up both.
  static std::string exchange(int fd, const std::string& sent) {
    sync::Thread sender("sender", [&] {
      EXPECT_EQ(::send(fd, sent.data(), sent.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(sent.size()));
    });
    std::string received(sent.size(), 0);
    const ssize_t got = ::recv(fd, received.data(), received.size(), MSG_WAITALL);
    received.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return received;
  }

  TempDir temp_;
  EchoServer server_;
  std::unique_ptr<Process> proxy_;
};

std::string pattern(size_t length) {
  std::string text(length, 0);
  for (size_t i = 0; i < length; ++i) text[i] = static_cast<char>((i * 2654435761U) >> 13);
  return text;
}

TEST_F(DelayProxy, AnAnswerTakesARoundTrip) {
  const unsigned port = start("50ms", "0");
  ASSERT_NE(port, 0U);
  const UniqueFd fd = connect_to(port);
  ASSERT_TRUE(fd);
  const MonoTime before = Clock::system().now();
  EXPECT_EQ(exchange(fd.get(), "x"), "x");
  EXPECT_GE(Clock::system().now() - before, std::chrono::milliseconds(50));
}

TEST_F(DelayProxy, BytesPassUnchangedAndNoFasterThanTheBandwidth) {
  const unsigned port = start("1ms", "80Mbit");
  ASSERT_NE(port, 0U);
  const UniqueFd fd = connect_to(port);
  ASSERT_TRUE(fd);
  const std::string sent = pattern(5'000'000);  // half a second at 10 MB/s
  const MonoTime before = Clock::system().now();
  EXPECT_TRUE(exchange(fd.get(), sent) == sent);
  EXPECT_GE(Clock::system().now() - before, std::chrono::milliseconds(499));
}

TEST_F(DelayProxy, TheEndOfASenderIsPassedOn) {
  const unsigned port = start("10ms", "0");
  ASSERT_NE(port, 0U);
  const UniqueFd fd = connect_to(port);
  ASSERT_TRUE(fd);
  ASSERT_EQ(::send(fd.get(), "abc", 3, MSG_NOSIGNAL), 3);
  ASSERT_EQ(::shutdown(fd.get(), SHUT_WR), 0);
  char text[8];
  EXPECT_EQ(::recv(fd.get(), text, sizeof text, MSG_WAITALL), 3);
  EXPECT_EQ(::recv(fd.get(), text, sizeof text, 0), 0);
}

}  // namespace
}  // namespace netfs::test
