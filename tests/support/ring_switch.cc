#include "tests/support/ring_switch.h"

#include <fstream>
#include <unistd.h>

namespace netfs::test {
namespace {

constexpr const char* kSwitch = "/sys/module/fuse/parameters/enable_uring";

}  // namespace

std::string RingSwitch::possible() {
  return ::access(kSwitch, R_OK | W_OK) == 0 ? "" : "needs a kernel with FUSE over io_uring (6.14)";
}

RingSwitch::RingSwitch(const std::string& setting) {
  std::ifstream(kSwitch) >> before_;
  std::ofstream(kSwitch) << setting;
}

RingSwitch::~RingSwitch() {
  std::ofstream(kSwitch) << before_;
}

}  // namespace netfs::test
