#include "harness/far_link.h"

#include "harness/first_line.h"

namespace netfs::bench {

Result<FarLink> FarLink::start(const std::string& program, const Link& link, const Workdir& work) {
  const std::string log = work.path("far-link-" + std::to_string(link.rtt_ms) + ".log");
  Process process =
      TRY(Process::start({.argv = {program, "--rtt", std::to_string(link.rtt_ms) + "ms", "--rate",
                                   std::to_string(link.bits_per_second / 1'000'000) + "Mbit"},
                          .log = log}));
  const std::string line = TRY(first_line(process, program, log));
  const size_t space = line.find(' ');
  if (space == std::string::npos) return Error(EPROTO, "bench.far_link", program + ": " + line);
  return FarLink(std::move(process), line.substr(0, space), line.substr(space + 1));
}

}  // namespace netfs::bench
