#include "harness/delay_proxy.h"

#include <stdlib.h>

#include "harness/first_line.h"
#include "harness/report.h"

namespace netfs::bench {

Result<DelayProxy> DelayProxy::start(const std::string& program, const Link& link,
                                     uint16_t target_port, const Workdir& work) {
  std::string log = work.path("proxy-" + std::to_string(link.rtt_ms) + "-" +
                              std::to_string(target_port) + ".log");
  Process process = TRY(Process::start(
      {.argv = {program, "--listen", "0", "--to", "127.0.0.1:" + std::to_string(target_port),
                "--rtt", std::to_string(link.rtt_ms) + "ms", "--rate",
                std::to_string(link.bits_per_second / 1'000'000) + "Mbit"},
       .log = log}));
  const std::string line = TRY(first_line(process, program, log));
  const int port = ::atoi(line.c_str());
  if (port <= 0) return Error(EPROTO, "bench.proxy", program + ": " + line);
  return DelayProxy(std::move(process), static_cast<uint16_t>(port));
}

Result<SftpAccess> access_through(const DelayProxy& proxy, const SftpAccess& server,
                                  const Workdir& work) {
  SftpAccess access = server;
  access.port = proxy.port();
  access.known_hosts_file = work.path("known_hosts-" + std::to_string(proxy.port()));
  std::string known = TRY(read_text(server.known_hosts_file));
  std::string from = "]:" + std::to_string(server.port) + " ";
  std::string to = "]:" + std::to_string(proxy.port()) + " ";
  for (size_t at = known.find(from); at != std::string::npos; at = known.find(from, at + 1)) {
    known.replace(at, from.size(), to);
  }
  TRY(write_text(access.known_hosts_file, known));
  return access;
}

}  // namespace netfs::bench
