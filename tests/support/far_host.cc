#include "tests/support/far_host.h"

#include <chrono>
#include <unistd.h>

#include "tests/support/process.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kTimeout{30};

// Four addresses a process.
std::string address_of(unsigned which) {
  const auto pid = static_cast<unsigned>(::getpid());
  return "10.213." + std::to_string(pid >> 6 & 255U) + "." +
         std::to_string((pid << 2 & 255U) + which);
}

}  // namespace

FarHost::FarHost()
    : name_("netfs-" + std::to_string(::getpid())),
      near_("nf" + std::to_string(::getpid())),
      near_address_(address_of(1)),
      far_address_(address_of(2)) {
  const std::string there = " && ip -n " + name_;
  works_ = succeeds("ip netns add " + name_ + " && ip link add " + near_ +
                    " type veth peer name far0 netns " + name_ + " && ip address add " +
                    near_address_ + "/30 dev " + near_ + " && ip link set " + near_ + " up" +
                    there + " address add " + far_address_ + "/30 dev far0" + there +
                    " link set far0 up" + there + " link set lo up");
}

FarHost::~FarHost() {
  (void)succeeds("ip netns delete " + name_);
}

bool FarHost::succeeds(const std::string& command) const {
  return run_by(outside_, {"sh", "-c", command}, kTimeout) == 0;
}

bool FarHost::vanish() {
  return succeeds("ip -n " + name_ + " route add blackhole " + near_address_ + "/32");
}

bool FarHost::come_back() {
  return succeeds("ip -n " + name_ + " route del blackhole " + near_address_ + "/32");
}

bool FarHost::unplug() {
  return succeeds("ip -n " + name_ + " link set far0 down");
}

bool FarHost::plug_in() {
  return succeeds("ip -n " + name_ + " link set far0 up");
}

bool FarHost::forget_orphans() {
  return succeeds("nsenter --net=/run/netns/" + name_ +
                  " sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries'");
}

bool FarHost::has_no_connection() const {
  // Each line is one, but those of listeners (0A) and of what only waits for its time to be over
  // (06).
  return succeeds("nsenter --net=/run/netns/" + name_ +
                  " cat /proc/net/tcp /proc/net/tcp6 | awk '$1 != \"sl\" && $4 != \"0A\" && "
                  "$4 != \"06\" { found = 1 } END { exit found }'");
}

}  // namespace netfs::test
