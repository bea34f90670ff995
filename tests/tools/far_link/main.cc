// far_link: a network of its own whose other end is far, for benchmarks and tests.
//
//   far_link [--rtt 20ms] [--rate 1Gbit] [--queue 20ms]
//
// Prints two addresses and works until SIGTERM: a server that listens at the first is asked, over
// the link, at the second.  --queue is how much of its own time the link keeps waiting before it
// drops (default: the round trip, at least 5 ms).  Needs CAP_NET_ADMIN.

#include <cstdio>
#include <sched.h>
#include <string_view>
#include <sys/prctl.h>

#include "tests/tools/far_link/device.h"
#include "tests/tools/far_link/link.h"
#include "tests/tools/number_with_unit.h"

namespace netfs::far_link {
namespace {

Result<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const bool is_rate = name == "--rate";
    const double value = is_rate ? tools::number_with_unit(argv[i + 1], tools::kRates)
                                 : tools::number_with_unit(argv[i + 1], tools::kTimes);
    if (value < 0) {
      return Error(EINVAL, "far_link",
                   std::string(name) + " wants " +
                       (is_rate ? "a rate such as 1Gbit" : "a time such as 20ms"));
    }
    if (is_rate) {
      options.bits_per_second = static_cast<uint64_t>(value);
    } else if (name == "--rtt") {
      options.round_trip = Duration(static_cast<int64_t>(value));
    } else if (name == "--queue") {
      options.queue = Duration(static_cast<int64_t>(value));
    } else {
      return Error(EINVAL, "far_link", "unknown option " + std::string(name));
    }
  }
  if (argc % 2 == 0) {
    return Error(EINVAL, "far_link", "usage: far_link [--rtt 20ms] [--rate 1Gbit] [--queue 20ms]");
  }
  return options;
}

Result<void> run(int argc, char** argv) {
  const Options options = TRY(parse(argc, argv));
  const Device device = TRY(make_device());
  // As delay_proxy does: a late release would count as the measured program's.
  ::prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
  const sched_param priority{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_RR, &priority);
  std::printf("%s %s\n", device.near.c_str(), device.far.c_str());
  std::fflush(stdout);
  return Link(device.fd.get(), options).run();
}

}  // namespace
}  // namespace netfs::far_link

int main(int argc, char** argv) {
  const auto result = netfs::far_link::run(argc, argv);
  if (result.ok()) return 0;
  std::fprintf(stderr, "far_link: %s\n", result.error().message().c_str());
  return result.is_error(EINVAL) ? 2 : 1;
}
