#include "daemon/hiding.h"

#include <fstream>
#include <span>
#include <sys/random.h>
#include <unistd.h>

#include "base/crc32c.h"

namespace netfs::daemon {

namespace {

uint32_t draw() {
  uint32_t drawn = 0;
  while (drawn == 0) {
    // Cannot fail for so few bytes, once the machine has started.
    if (::getrandom(&drawn, sizeof drawn, 0) != sizeof drawn) drawn = 1;
  }
  return drawn;
}

std::string machine() {
  std::string id;
  std::ifstream file("/etc/machine-id");
  std::getline(file, id);
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0) id += host;
  return id;
}

}  // namespace

vfs::Hiding hiding_of(const std::string& cache_dir, const std::string& volume_key) {
  static const uint32_t process = draw();
  // Several processes may be without a cache at one time, and none knows of the others.
  if (cache_dir.empty()) return {.client = 0, .process = process};
  const std::string name =
      machine() + '\0' + std::to_string(::geteuid()) + '\0' + cache_dir + '\0' + volume_key;
  const uint32_t client = crc32c(std::as_bytes(std::span(name.data(), name.size())));
  return {.client = client == 0 ? 1 : client, .process = process};
}

}  // namespace netfs::daemon
