// delay_proxy: a far, narrow link on loopback: TCP connections to one server, delayed and shaped.
//
//   delay_proxy --target HOST:PORT [--listen PORT] [--rtt 20ms] [--bandwidth 1000Mbit]
//
// Prints the port it listens on (127.0.0.1), then serves until SIGTERM.  All connections share one
// link: in each direction bytes leave one after another at the bandwidth, in the order they came,
// and arrive half a round trip later.  Nothing is lost or reordered.  A sender is read only while
// less than kBacklogMax waits to leave, so that it feels the link as a full buffer; connections
// take turns.  --bandwidth 0: unlimited.  HOST is an IPv4 address.
//
// One thread, no locks: a poll loop over the sockets with a timeout at the next arrival.

#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <vector>

#include "base/unique_fd.h"

namespace netfs::test {
namespace {

using Time = std::chrono::steady_clock::time_point;
using Span = std::chrono::nanoseconds;

constexpr size_t kChunkBytes = 64 << 10;
// What a router would hold; read no further ahead than this.
constexpr Span kBacklogMax = std::chrono::milliseconds(4);
// A receiver that does not take its bytes stops its own sender at this, not the others.
constexpr size_t kUndeliveredMax = 64 << 20;

struct Options {
  sockaddr_in target{};
  uint16_t listen_port = 0;
  Span one_way{};
  double bytes_per_second = 0;  // 0: unlimited
};

// One direction of the link: when the bytes given to it now will arrive.
class Shaper {
 public:
  explicit Shaper(const Options& options) : options_(options) {}
  [[nodiscard]] bool full(Time now) const { return free_at_ - now > kBacklogMax; }
  // When it will take more.
  [[nodiscard]] Time ready_at() const { return free_at_ - kBacklogMax; }
  Time send(size_t length, Time now) {
    free_at_ = std::max(free_at_, now);
    if (options_.bytes_per_second > 0) {
      free_at_ +=
          Span(static_cast<int64_t>(static_cast<double>(length) * 1e9 / options_.bytes_per_second));
    }
    return free_at_ + options_.one_way;
  }

 private:
  const Options& options_;
  Time free_at_{};
};

// Bytes on their way from one socket to another.
struct Flow {
  struct Chunk {
    Time arrives;
    std::string bytes;  // empty: the sender has closed
    size_t written = 0;
  };
  int from = -1;
  int to = -1;
  std::deque<Chunk> chunks{};
  size_t held_bytes = 0;
  bool ended = false;   // nothing more will be read
  bool closed = false;  // the end has been passed on
};

struct Connection {
  UniqueFd client;
  UniqueFd server;
  Flow up;
  Flow down;
  bool broken = false;
  [[nodiscard]] bool done() const { return broken || (up.closed && down.closed); }
};

class Proxy {
 public:
  Proxy(const Options& options, UniqueFd listener)
      : options_(options), listener_(std::move(listener)), up_(options), down_(options) {}
  [[noreturn]] void run();

 private:
  void accept_one();
  void read_some(Connection& connection, Flow& flow, Shaper& shaper, Time now);
  void deliver(Connection& connection, Flow& flow, Time now);
  void wait(Time now);
  void want(Flow& flow, const Shaper& shaper, Time now, Time& wake);

  const Options& options_;
  UniqueFd listener_;
  Shaper up_;
  Shaper down_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<pollfd> polled_;
  std::vector<char> buffer_ = std::vector<char>(kChunkBytes);
};

void set_nodelay(int fd) {
  int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void Proxy::accept_one() {
  UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!client) return;
  UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* target = reinterpret_cast<const sockaddr*>(&options_.target);
  // Refused: the client sees its connection closed.
  if (!server || ::connect(server.get(), target, sizeof options_.target) != 0) return;
  ::fcntl(server.get(), F_SETFL, O_NONBLOCK);
  set_nodelay(client.get());
  set_nodelay(server.get());
  auto connection = std::make_unique<Connection>();
  connection->up = {.from = client.get(), .to = server.get()};
  connection->down = {.from = server.get(), .to = client.get()};
  connection->client = std::move(client);
  connection->server = std::move(server);
  connections_.push_back(std::move(connection));
}

void Proxy::read_some(Connection& connection, Flow& flow, Shaper& shaper, Time now) {
  if (flow.ended || shaper.full(now) || flow.held_bytes > kUndeliveredMax) return;
  ssize_t got = ::recv(flow.from, buffer_.data(), buffer_.size(), 0);
  if (got < 0) {
    connection.broken = errno != EAGAIN && errno != EINTR;
    return;
  }
  flow.ended = got == 0;
  flow.held_bytes += static_cast<size_t>(got);
  flow.chunks.push_back({shaper.send(static_cast<size_t>(got), now),
                         std::string(buffer_.data(), static_cast<size_t>(got))});
}

void Proxy::deliver(Connection& connection, Flow& flow, Time now) {
  while (!flow.chunks.empty() && flow.chunks.front().arrives <= now) {
    Flow::Chunk& chunk = flow.chunks.front();
    if (chunk.bytes.empty()) {
      ::shutdown(flow.to, SHUT_WR);
      flow.closed = true;
    } else {
      ssize_t sent = ::send(flow.to, chunk.bytes.data() + chunk.written,
                            chunk.bytes.size() - chunk.written, MSG_NOSIGNAL);
      if (sent < 0) {
        connection.broken = errno != EAGAIN && errno != EINTR;
        return;
      }
      chunk.written += static_cast<size_t>(sent);
      flow.held_bytes -= static_cast<size_t>(sent);
      if (chunk.written < chunk.bytes.size()) return;
    }
    flow.chunks.pop_front();
  }
}

void Proxy::want(Flow& flow, const Shaper& shaper, Time now, Time& wake) {
  if (!flow.ended && flow.held_bytes <= kUndeliveredMax) {
    if (shaper.full(now)) {
      wake = std::min(wake, shaper.ready_at());
    } else {
      polled_.push_back({.fd = flow.from, .events = POLLIN});
    }
  }
  if (flow.chunks.empty()) return;
  if (flow.chunks.front().arrives > now) {
    wake = std::min(wake, flow.chunks.front().arrives);
  } else {
    polled_.push_back({.fd = flow.to, .events = POLLOUT});
  }
}

void Proxy::wait(Time now) {
  Time wake = now + std::chrono::seconds(1);
  polled_.assign(1, {.fd = listener_.get(), .events = POLLIN});
  for (auto& connection : connections_) {
    want(connection->up, up_, now, wake);
    want(connection->down, down_, now, wake);
  }
  auto left = std::max(Span(wake - now), Span(0)).count();
  timespec timeout{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
  ::ppoll(polled_.data(), polled_.size(), &timeout, nullptr);
}

void Proxy::run() {
  for (;;) {
    wait(std::chrono::steady_clock::now());
    if ((polled_[0].revents & POLLIN) != 0) accept_one();
    Time now = std::chrono::steady_clock::now();
    for (auto& connection : connections_) {
      read_some(*connection, connection->up, up_, now);
      read_some(*connection, connection->down, down_, now);
      deliver(*connection, connection->up, now);
      deliver(*connection, connection->down, now);
    }
    std::erase_if(connections_, [](const auto& connection) { return connection->done(); });
    // Whoever was first to be read is last the next time.
    if (connections_.size() > 1) {
      std::rotate(connections_.begin(), connections_.begin() + 1, connections_.end());
    }
  }
}

// "20ms" -> 20, "1000Mbit" -> 1000, "2Gbit" -> 2; what follows the digits in `unit`.
double number_of(const char* text, std::string& unit) {
  char* end = nullptr;
  double value = std::strtod(text, &end);
  unit = end;
  return value;
}

bool parse(int argc, char** argv, Options& options) {
  options.target.sin_family = AF_INET;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    std::string unit;
    if (name == "--target") {
      std::string host = argv[i + 1];
      size_t colon = host.find(':');
      if (colon == std::string::npos) return false;
      options.target.sin_port = htons(static_cast<uint16_t>(std::atoi(&host[colon + 1])));
      if (::inet_aton(host.substr(0, colon).c_str(), &options.target.sin_addr) == 0) return false;
    } else if (name == "--listen") {
      options.listen_port = static_cast<uint16_t>(std::atoi(argv[i + 1]));
    } else if (name == "--rtt") {
      double value = number_of(argv[i + 1], unit);
      if (unit != "ms") return false;
      options.one_way = Span(static_cast<int64_t>(value * 1e6 / 2));
    } else if (name == "--bandwidth") {
      double value = number_of(argv[i + 1], unit);
      if (unit != "Mbit" && unit != "Gbit" && value != 0) return false;
      options.bytes_per_second = value * (unit == "Gbit" ? 1e9 : 1e6) / 8;
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && options.target.sin_port != 0;
}

UniqueFd listen_on(uint16_t wanted, uint16_t& port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(wanted);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  if (::bind(listener.get(), raw, length) != 0 || ::listen(listener.get(), 128) != 0 ||
      ::getsockname(listener.get(), raw, &length) != 0) {
    return UniqueFd();
  }
  port = ntohs(address.sin_port);
  return listener;
}

}  // namespace
}  // namespace netfs::test

int main(int argc, char** argv) {
  using namespace netfs::test;
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: %s --target IPV4:PORT [--listen PORT] [--rtt 20ms] "
                 "[--bandwidth 1000Mbit]\n",
                 argv[0]);
    return 2;
  }
  ::prctl(PR_SET_TIMERSLACK, 1000);  // Arrivals to the microsecond, not to 50 of them.
  uint16_t port = 0;
  netfs::UniqueFd listener = listen_on(options.listen_port, port);
  if (!listener) {
    std::perror("delay_proxy: cannot listen");
    return 1;
  }
  std::printf("%u\n", port);
  std::fflush(stdout);
  Proxy(options, std::move(listener)).run();
}
