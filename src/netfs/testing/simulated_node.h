#pragma once
// A file, directory or link of a SimulatedOrigin; guarded by its mutex.

#include <cstdint>
#include <optional>
#include <string>

#include "netfs/testing/simulated_origin.h"

namespace netfs {

struct SimulatedOrigin::Node {
  Attributes attributes;
  std::string content;  // of a file without a pattern, or a link's target
  std::optional<uint64_t> pattern_seed;
  uint64_t identity = 0;
  uint64_t version = 1;
};

}  // namespace netfs
