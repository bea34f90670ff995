// delay_proxy: passes TCP connections on over a slow link, for tests and benchmarks.
//
//   delay_proxy --listen PORT --to HOST:PORT [--rtt 20ms] [--rate 1Gbit]
//
// Without --rate, or with 0bit, the link has no limit.  Prints the port it listens on (on
// 127.0.0.1; --listen 0 takes any) and works until SIGTERM. SIGUSR1 drops all connections; SIGUSR2
// starts and stops swallowing everything.

#include <arpa/inet.h>
#include <cstdio>
#include <cstring>
#include <netdb.h>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/prctl.h>

#include "tests/tools/delay_proxy/proxy.h"
#include "tests/tools/number_with_unit.h"

namespace netfs::delay_proxy {
namespace {

using tools::number_with_unit;

Result<sockaddr_in> resolve(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Error(EINVAL, "delay_proxy", "--to wants HOST:PORT");
  const std::string host(text.substr(0, colon));
  const std::string port(text.substr(colon + 1));
  const addrinfo hints{.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) {
    return Error(EHOSTUNREACH, "delay_proxy", "cannot resolve " + std::string(text));
  }
  sockaddr_in address{};
  std::memcpy(&address, found->ai_addr, sizeof address);
  ::freeaddrinfo(found);
  return address;
}

Result<Options> parse(int argc, char** argv) {
  Options options;
  bool has_to = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    if (name == "--listen") {
      const double port = number_with_unit(value, tools::kPlain);
      if (port < 0 || port > 65535) return Error(EINVAL, "delay_proxy", "--listen wants a port");
      options.listen_port = static_cast<uint16_t>(port);
    } else if (name == "--to") {
      options.to = TRY(resolve(value));
      has_to = true;
    } else if (name == "--rtt") {
      const double ns = number_with_unit(value, tools::kTimes);
      if (ns < 0) return Error(EINVAL, "delay_proxy", "--rtt wants a time such as 20ms");
      options.round_trip = Duration(static_cast<int64_t>(ns));
    } else if (name == "--rate") {
      const double bits = number_with_unit(value, tools::kRates);
      if (bits < 0) return Error(EINVAL, "delay_proxy", "--rate wants a rate such as 1Gbit");
      options.bits_per_second = static_cast<uint64_t>(bits);
    } else {
      return Error(EINVAL, "delay_proxy", "unknown option " + std::string(name));
    }
  }
  if (argc % 2 == 0 || !has_to) {
    return Error(EINVAL, "delay_proxy",
                 "usage: delay_proxy --listen PORT --to HOST:PORT [--rtt 20ms] [--rate 1Gbit]");
  }
  return options;
}

Result<void> run(int argc, char** argv) {
  const Options options = TRY(parse(argc, argv));
  const std::unique_ptr<Proxy> proxy = TRY(Proxy::create(options));
  // The default slack of 50 us would make every release late.
  ::prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
  // Where we may, before the programs that are measured: a late release would count as theirs.
  const sched_param priority{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_RR, &priority);
  std::printf("%u\n", proxy->port());
  std::fflush(stdout);
  return proxy->run();
}

}  // namespace
}  // namespace netfs::delay_proxy

int main(int argc, char** argv) {
  const auto result = netfs::delay_proxy::run(argc, argv);
  if (result.ok()) return 0;
  std::fprintf(stderr, "delay_proxy: %s\n", result.error().message().c_str());
  return result.is_error(EINVAL) ? 2 : 1;
}
