#pragma once
// DelayProxy: a slow link on loopback, for one run: tests/tools/delay_proxy before a server.
//
// All connections through it share one link: each direction delays by half the round trip and
// passes no more than the bandwidth in sum.  Thread-safety: one thread.

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"
#include "harness/process.h"
#include "harness/sftp_server.h"
#include "harness/workdir.h"

namespace netfs::bench {

struct Link {
  unsigned rtt_ms = 0;
  uint64_t bits_per_second = 0;
};

class DelayProxy {
 public:
  // `program` is the delay_proxy of this build.
  static Result<DelayProxy> start(const std::string& program, const Link& link,
                                  uint16_t target_port, const Workdir& work);
  // Where it listens on loopback.
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  DelayProxy(Process process, uint16_t port) : process_(std::move(process)), port_(port) {}
  Process process_;
  uint16_t port_;
};

// The same server behind a proxy: its host key is known under the proxy's port as well.
Result<SftpAccess> access_through(const DelayProxy& proxy, const SftpAccess& server,
                                  const Workdir& work);

}  // namespace netfs::bench
