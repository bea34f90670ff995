#pragma once
// Proxy: TCP connections passed on over one slow link.
//
// All connections share the link's two directions (Shaper).  A new connection costs one round trip
// before its first bytes may leave, as TCP's handshake does.  Bytes in flight are bounded by rate
// times delay; a connection is read no further only while its far side does not take what is due
// (kOverdueBytesMax), so the proxy adds no window of its own.  Without a rate, kFlightBytesMax
// bounds what is in flight.
//
// One thread, epoll, edge triggered; bytes are released at their exact time (epoll_pwait2).
// SIGUSR1 drops all connections; SIGUSR2 makes the link swallow everything, and again undoes it;
// SIGTERM and SIGINT end it.

#include <cstdint>
#include <deque>
#include <memory>
#include <netinet/in.h>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/tools/delay_proxy/shaper.h"

namespace netfs::delay_proxy {

struct Options {
  uint16_t listen_port = 0;  // 0: any
  sockaddr_in to{};
  Duration round_trip{};
  uint64_t bits_per_second = 0;
};

class Proxy {
 public:
  static Result<std::unique_ptr<Proxy>> create(const Options& options);
  ~Proxy();

  [[nodiscard]] uint16_t port() const { return port_; }
  // Until SIGTERM.
  Result<void> run();

 private:
  struct Connection;
  struct Flow;
  struct Packet;

  explicit Proxy(const Options& options);
  Result<void> listen();
  void accept_all();
  void connect_upstream(Connection& connection);
  void take_signals();
  void work_timers(MonoTime now);
  void read_round(int direction, MonoTime now);
  bool read_flow(Flow& flow, MonoTime now, MonoTime there_since);
  void release_due(MonoTime now);
  void write_flow(Flow& flow);
  void drop(Connection& connection);
  void sweep();
  [[nodiscard]] MonoTime next_wake(MonoTime now) const;
  std::vector<char> buffer();

  const Options options_;
  uint16_t port_ = 0;
  UniqueFd epoll_;
  UniqueFd listener_;
  UniqueFd signals_;
  bool ends_ = false;
  bool swallows_ = false;
  Shaper shapers_[2];  // 0 from client to server, 1 back
  std::deque<Packet> in_flight_[2];
  uint64_t in_flight_bytes_[2] = {0, 0};
  MonoTime waiting_since_[2] = {MonoTime::max(), MonoTime::max()};
  size_t turn_[2] = {0, 0};  // whose turn it is to be read
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<std::vector<char>> spare_;
};

}  // namespace netfs::delay_proxy
