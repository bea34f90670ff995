#include "tests/tools/delay_proxy/proxy.h"

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

namespace netfs::delay_proxy {

namespace {

constexpr size_t kPieceBytes = 64 * 1024;
// How much is taken ahead of the link; it shows as its queue.  Two pieces at 1 Gbit/s take 1 ms.
constexpr Duration kBacklogMax = std::chrono::milliseconds(2);
constexpr uint64_t kOverdueBytesMax = 4 << 20;
constexpr uint64_t kFlightBytesMax = 256 << 20;
constexpr size_t kSpareMax = 512;

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

// One direction of one connection.
struct Proxy::Flow {
  Connection* connection = nullptr;
  int direction = 0;
  int from = -1;
  int to = -1;
  bool readable = false;
  bool writable = false;
  bool ended = false;         // its source has said all
  bool end_released = false;  // and the far side may know
  bool end_told = false;
  MonoTime open_at{};                                    // read no earlier
  std::deque<std::pair<std::vector<char>, size_t>> due;  // released; the bytes of it written
  uint64_t due_bytes = 0;
};

struct Proxy::Connection : std::enable_shared_from_this<Connection> {
  UniqueFd client;
  UniqueFd server;
  Flow flows[2];
  MonoTime connect_at{};
  bool dropped = false;
};

struct Proxy::Packet {
  MonoTime release;
  std::shared_ptr<Connection> connection;
  std::vector<char> bytes;  // empty: the end
};

Proxy::Proxy(const Options& options)
    : options_(options),
      shapers_{Shaper(options.bits_per_second, options.round_trip / 2),
               Shaper(options.bits_per_second, options.round_trip / 2)} {}

Proxy::~Proxy() = default;

Result<std::unique_ptr<Proxy>> Proxy::create(const Options& options) {
  std::unique_ptr<Proxy> proxy(new Proxy(options));
  TRY(proxy->listen());
  return proxy;
}

Result<void> Proxy::listen() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return Error::from_errno("delay_proxy.epoll");
  listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_) return Error::from_errno("delay_proxy.socket");
  const int on = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(options_.listen_port);
  socklen_t length = sizeof address;
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(listener_.get(), 256) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return Error::from_errno("delay_proxy.listen");
  }
  port_ = ntohs(address.sin_port);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return Error::from_errno("delay_proxy.signalfd");
  for (const int fd : {listener_.get(), signals_.get()}) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return Error::from_errno("delay_proxy.epoll");
    }
  }
  return {};
}

std::vector<char> Proxy::buffer() {
  if (spare_.empty()) return std::vector<char>(kPieceBytes);
  std::vector<char> bytes = std::move(spare_.back());
  spare_.pop_back();
  bytes.resize(kPieceBytes);
  return bytes;
}

void Proxy::accept_all() {
  for (;;) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    set_no_delay(fd.get());
    auto connection = std::make_shared<Connection>();
    const MonoTime now = Clock::system().now();
    for (int direction : {0, 1}) {
      connection->flows[direction].connection = connection.get();
      connection->flows[direction].direction = direction;
      connection->flows[direction].open_at = now + options_.round_trip;
    }
    // The handshake: the client may speak after one round trip, the server hears of it half later.
    connection->connect_at = now + options_.round_trip * 3 / 2;
    connection->flows[0].from = connection->flows[1].to = fd.get();
    connection->client = std::move(fd);
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = connection.get()}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->client.get(), &event);
    connections_.push_back(std::move(connection));
  }
}

void Proxy::connect_upstream(Connection& connection) {
  connection.connect_at = MonoTime::max();
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  set_no_delay(fd.get());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&options_.to), sizeof options_.to) !=
          0 &&
      errno != EINPROGRESS) {
    drop(connection);
    return;
  }
  connection.flows[0].to = connection.flows[1].from = fd.get();
  connection.server = std::move(fd);
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = &connection}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.server.get(), &event);
}

void Proxy::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGUSR1) {
      for (const auto& connection : connections_) drop(*connection);
    } else if (info.ssi_signo == SIGUSR2) {
      swallows_ = !swallows_;
    } else {
      ends_ = true;
    }
  }
}

void Proxy::drop(Connection& connection) {
  connection.dropped = true;
  // A reset, as when a host forgets us.
  const linger hard{.l_onoff = 1, .l_linger = 0};
  for (UniqueFd* fd : {&connection.client, &connection.server}) {
    if (!*fd) continue;
    ::setsockopt(fd->get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    fd->reset();
  }
}

// Reads one piece; whether there was one.
bool Proxy::read_flow(Flow& flow, MonoTime now, MonoTime there_since) {
  if (!flow.readable || flow.ended || flow.connection->dropped || flow.from < 0) return false;
  if (now < flow.open_at || flow.due_bytes > kOverdueBytesMax) return false;
  std::vector<char> bytes = buffer();
  const ssize_t n = ::recv(flow.from, bytes.data(), bytes.size(), 0);
  if (n < 0) {
    if (errno == EINTR) return true;
    flow.readable = false;
    spare_.push_back(std::move(bytes));
    if (errno != EAGAIN) drop(*flow.connection);
    return false;
  }
  flow.ended = n == 0;
  bytes.resize(static_cast<size_t>(n));
  if (swallows_ && n > 0) return true;
  const MonoTime release = shapers_[flow.direction].admit(there_since, bytes.size());
  in_flight_bytes_[flow.direction] += bytes.size();
  in_flight_[flow.direction].push_back(
      {release, flow.connection->shared_from_this(), std::move(bytes)});
  return true;
}

// Takes pieces from the connections in turn until the link has enough to do.  Where it stopped for
// that reason the next bytes have been waiting since then: if we come late, the link does not.
void Proxy::read_round(int direction, MonoTime now) {
  const MonoTime there_since = std::min(now, waiting_since_[direction]);
  waiting_since_[direction] = MonoTime::max();
  size_t idle = 0;
  while (idle < connections_.size() && in_flight_bytes_[direction] < kFlightBytesMax) {
    if (shapers_[direction].backlog(now) >= kBacklogMax) {
      waiting_since_[direction] = now;
      return;
    }
    size_t& turn = turn_[direction];
    turn = (turn + 1) % connections_.size();
    idle = read_flow(connections_[turn]->flows[direction], now, there_since) ? 0 : idle + 1;
  }
}

void Proxy::write_flow(Flow& flow) {
  if (flow.connection->dropped || flow.to < 0) return;
  while (flow.writable && !flow.due.empty()) {
    auto& [bytes, written] = flow.due.front();
    const ssize_t n = ::send(flow.to, bytes.data() + written, bytes.size() - written, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      flow.writable = false;
      if (errno != EAGAIN) drop(*flow.connection);
      return;
    }
    written += static_cast<size_t>(n);
    flow.due_bytes -= static_cast<uint64_t>(n);
    if (written < bytes.size()) continue;
    if (spare_.size() < kSpareMax) spare_.push_back(std::move(bytes));
    flow.due.pop_front();
  }
  if (flow.due.empty() && flow.end_released && !flow.end_told) {
    flow.end_told = true;
    ::shutdown(flow.to, SHUT_WR);
  }
}

void Proxy::release_due(MonoTime now) {
  for (const int direction : {0, 1}) {
    std::deque<Packet>& packets = in_flight_[direction];
    while (!packets.empty() && packets.front().release <= now) {
      Packet packet = std::move(packets.front());
      packets.pop_front();
      in_flight_bytes_[direction] -= packet.bytes.size();
      Flow& flow = packet.connection->flows[direction];
      if (packet.bytes.empty()) {
        flow.end_released = true;
      } else {
        flow.due_bytes += packet.bytes.size();
        flow.due.emplace_back(std::move(packet.bytes), 0);
      }
      write_flow(flow);
    }
  }
}

void Proxy::sweep() {
  std::erase_if(connections_, [](const std::shared_ptr<Connection>& connection) {
    return connection->dropped || (connection->flows[0].end_told && connection->flows[1].end_told);
  });
}

void Proxy::work_timers(MonoTime now) {
  for (const auto& connection : connections_) {
    if (!connection->dropped && connection->connect_at <= now) connect_upstream(*connection);
  }
  release_due(now);
  for (const int direction : {0, 1}) read_round(direction, now);
  sweep();
}

MonoTime Proxy::next_wake(MonoTime now) const {
  MonoTime next = MonoTime::max();
  for (const int direction : {0, 1}) {
    if (!in_flight_[direction].empty()) {
      next = std::min(next, in_flight_[direction].front().release);
    }
    // Half of the backlog is worked off before more is taken: fewer wake-ups.
    bool wants = false;
    const bool full = in_flight_bytes_[direction] >= kFlightBytesMax;
    for (const auto& connection : connections_) {
      const Flow& flow = connection->flows[direction];
      wants = wants || (!full && flow.readable && !flow.ended &&
                        flow.due_bytes <= kOverdueBytesMax && now >= flow.open_at);
      if (flow.readable && now < flow.open_at) next = std::min(next, flow.open_at);
    }
    if (wants) next = std::min(next, now + shapers_[direction].backlog(now) - kBacklogMax / 2);
  }
  for (const auto& connection : connections_) next = std::min(next, connection->connect_at);
  return next;
}

Result<void> Proxy::run() {
  epoll_event events[64];
  while (!ends_) {
    const MonoTime now = Clock::system().now();
    const MonoTime wake = next_wake(now);
    const Duration left = std::max(Duration::zero(), Duration(wake - now));
    timespec wait{static_cast<time_t>(left.count() / 1'000'000'000), left.count() % 1'000'000'000};
    const int count = ::epoll_pwait2(epoll_.get(), events, 64,
                                     wake == MonoTime::max() ? nullptr : &wait, nullptr);
    if (count < 0 && errno != EINTR) return Error::from_errno("delay_proxy.wait");
    for (int i = 0; i < count; ++i) {
      auto* connection = static_cast<Connection*>(events[i].data.ptr);
      if (connection == nullptr) {
        take_signals();
        accept_all();
        continue;
      }
      // Both sockets of a connection look the same here: a try that finds nothing is cheap.
      for (Flow& flow : connection->flows) {
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) flow.readable = true;
        if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) flow.writable = true;
        write_flow(flow);
      }
    }
    work_timers(Clock::system().now());
  }
  return {};
}

}  // namespace netfs::delay_proxy
