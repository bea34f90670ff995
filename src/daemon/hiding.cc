#include "daemon/hiding.h"

#include <fstream>
#include <span>
#include <spdlog/fmt/fmt.h>

#include "base/crc32c.h"
#include "base/drawn.h"

namespace netfs::daemon {

namespace {

// Drawn once for each cache directory, and kept in it.  0: it cannot be kept.
uint32_t client_of(const std::string& cache_dir) {
  const std::string path = cache_dir + "/client";
  uint32_t id = 0;
  for (int attempt = 0; attempt < 2 && id == 0; ++attempt) {
    std::ifstream(path) >> std::hex >> id;
    if (id == 0) std::ofstream(path) << fmt::format("{:08x}\n", drawn<uint32_t>()) << std::flush;
  }
  return id;
}

}  // namespace

vfs::Hiding hiding_of(const std::string& cache_dir, const std::string& volume_key) {
  static const uint32_t process = drawn<uint32_t>();
  // Several processes may be without a cache at one time, and none knows of the others.
  const uint32_t id = cache_dir.empty() ? 0 : client_of(cache_dir);
  if (id == 0) return {.client = 0, .process = process};
  const std::string name = fmt::format("{:08x} {}", id, volume_key);
  const uint32_t client = crc32c(std::as_bytes(std::span(name.data(), name.size())));
  return {.client = client == 0 ? 1 : client, .process = process};
}

}  // namespace netfs::daemon
