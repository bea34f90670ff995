#pragma once
// RawStream: plain TCP over the same link, to show what the link gives to a program without a
// protocol.
//
// The server is a forked child that answers each 8-byte request with that many bytes; it dies with
// the harness.  Thread-safety: one thread.
//
//   RawServer server = TRY(RawServer::start());
//   RawStream stream = TRY(RawStream::connect(proxy.port()));
//   TRY(stream.fetch(1 << 30));

#include <cstdint>
#include <sys/types.h>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::bench {

class RawServer {
 public:
  static Result<RawServer> start();
  RawServer(RawServer&& other) noexcept : pid_(std::exchange(other.pid_, -1)), port_(other.port_) {}
  RawServer& operator=(RawServer&&) = delete;
  ~RawServer();
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  RawServer(pid_t pid, uint16_t port) : pid_(pid), port_(port) {}
  pid_t pid_;
  uint16_t port_;
};

class RawStream {
 public:
  static Result<RawStream> connect(uint16_t port);
  // Asks for and receives so many bytes.  Gives up after a minute without one (ETIMEDOUT).
  Result<void> fetch(uint64_t length_bytes);

 private:
  explicit RawStream(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace netfs::bench
