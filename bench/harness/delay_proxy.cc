#include "harness/delay_proxy.h"

#include <stdlib.h>

#include "harness/report.h"

namespace netfs::bench {

namespace {

constexpr std::chrono::seconds kStartTimeout{10};
constexpr std::chrono::milliseconds kLook{20};

}  // namespace

Result<DelayProxy> DelayProxy::start(const std::string& program, const Link& link,
                                     uint16_t target_port, const Workdir& work) {
  std::string log = work.path("proxy-" + std::to_string(link.rtt_ms) + "-" +
                              std::to_string(target_port) + ".log");
  Process process = TRY(Process::start(
      {.argv = {program, "--listen", "0", "--to", "127.0.0.1:" + std::to_string(target_port),
                "--rtt", std::to_string(link.rtt_ms) + "ms", "--rate",
                std::to_string(link.bits_per_second / 1'000'000) + "Mbit"},
       .log = log}));
  // Its first line is the port it listens on.
  auto until = std::chrono::steady_clock::now() + kStartTimeout;
  while (std::chrono::steady_clock::now() < until) {
    Result<std::string> text = read_text(log);
    if (text.ok() && text.value().find('\n') != std::string::npos) {
      int port = ::atoi(text.value().c_str());
      if (port > 0) return DelayProxy(std::move(process), static_cast<uint16_t>(port));
      return Error(EPROTO, "bench.proxy", program + ": " + text.value());
    }
    Result<int> ended = process.wait(kLook);
    if (ended.ok()) return Error(EIO, "bench.proxy", program + " ended before it listened");
  }
  return Error(ETIMEDOUT, "bench.proxy", program + " does not say where it listens");
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
