#pragma once
// What `netfs status` says of a mount, whichever version it speaks.

#include <spdlog/fmt/fmt.h>
#include <string>

#include "netfs/origin.h"
#include "origins/nfs/pool.h"
#include "origins/nfs/settings.h"

namespace netfs::origins::nfs {

inline StatusFields status_of(const Settings& settings, const Pool::State& state) {
  return {
      {"server", fmt::format("{} port {}", settings.host, settings.nfs_port)},
      {"root", settings.path},
      {"connections", fmt::format("{} of {}", state.up, state.wanted)},
      {"requests under way", std::to_string(state.in_flight)},
      {"lost connections", std::to_string(state.losses)},
  };
}

}  // namespace netfs::origins::nfs
