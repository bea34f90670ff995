#include "daemon/hiding.h"

#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <span>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/drawn.h"
#include "base/unique_fd.h"

namespace netfs::daemon {

namespace {

// 0: there is none.
uint32_t client_in(const std::string& path) {
  uint32_t id = 0;
  std::ifstream(path) >> std::hex >> id;
  return id;
}

// Whole and for good before anything is hidden by it, or a power cut would leave names that nobody
// takes for his own.
void draw_client(const std::string& cache_dir, const std::string& path) {
  const std::string beside = fmt::format("{}.{:08x}", path, drawn<uint32_t>());
  const std::string text = fmt::format("{:08x}\n", drawn<uint32_t>());
  {
    const UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    const bool kept = fd && ::write(fd.get(), text.data(), text.size()) == std::ssize(text) &&
                      ::fsync(fd.get()) == 0;
    // Another mount of this process may draw at the same time: the first counts.
    if (kept && ::link(beside.c_str(), path.c_str()) != 0 && client_in(path) == 0) {
      (void)::rename(beside.c_str(), path.c_str());
    }
  }
  (void)::unlink(beside.c_str());
  const UniqueFd directory(::open(cache_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) (void)::fsync(directory.get());
}

// Drawn once for each cache directory, and kept in it.  0: it cannot be kept.
uint32_t client_of(const std::string& cache_dir) {
  const std::string path = cache_dir + "/client";
  if (client_in(path) == 0) draw_client(cache_dir, path);
  return client_in(path);
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
