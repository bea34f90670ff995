// Which names are taken from an origin.  Names are bytes; refused are only those that no directory
// can hold: they are counted, and the last ones listed by status.

#include <spdlog/fmt/fmt.h>

#include "telemetry/log.h"
#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

constexpr size_t kRefusedListed = 16;

std::string escaped(std::string_view name) {
  std::string text;
  for (const char c : name.substr(0, 64)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '\\') {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return name.size() > 64 ? text + "..." : text;
}

}  // namespace

bool FileSystem::name_is_allowed(std::string_view directory, std::string_view name) {
  const bool allowed = !name.empty() && name != "." && name != ".." &&
                       name.size() <= kNameBytesMax && name.find('/') == std::string_view::npos &&
                       name.find('\0') == std::string_view::npos;
  if (allowed) return true;
  counters_.refused_names.add();
  std::string line = escaped(directory) + "/" + escaped(name);
  telemetry::log_warn("vfs", "the origin lists a name that no directory can hold: '{}'", line);
  sync::MutexLock lock(refused_mutex_);
  if (refused_names_.size() == kRefusedListed) refused_names_.erase(refused_names_.begin());
  refused_names_.push_back(std::move(line));
  return false;
}

std::vector<std::string> FileSystem::refused_names() const {
  sync::MutexLock lock(refused_mutex_);
  return refused_names_;
}

}  // namespace netfs::vfs
