// What is not taken from an origin.  Names are bytes; refused are only those that no directory can
// hold: they are counted, and the last ones listed by status.  Of attributes, those that no file
// can have.

#include <algorithm>
#include <limits>
#include <spdlog/fmt/fmt.h>

#include "telemetry/log.h"
#include "vfs/file_system.h"
#include "vfs/limits.h"
#include "vfs/possible_info.h"

namespace netfs::vfs {

namespace {

constexpr size_t kRefusedListed = 16;
constexpr size_t kShownBytes = 64;

std::string escaped(std::string_view name) {
  std::string text;
  for (const char c : name.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '\\') {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return name.size() > kShownBytes ? text + "..." : text;
}

}  // namespace

bool FileSystem::name_is_allowed(std::string_view directory, std::string_view name) {
  const bool allowed = !name.empty() && name != "." && name != ".." &&
                       name.size() <= kNameBytesMax && name.find('/') == std::string_view::npos &&
                       name.find('\0') == std::string_view::npos;
  if (allowed) return true;
  counters_.refused_names.add();
  std::string line = escaped(directory) + "/" + escaped(name);
  sync::MutexLock lock(refused_mutex_);
  if (std::find(refused_names_.begin(), refused_names_.end(), line) != refused_names_.end()) {
    return false;  // as at the last listing
  }
  if (refused_names_.size() == kRefusedListed) refused_names_.erase(refused_names_.begin());
  refused_names_.push_back(std::move(line));
  return false;
}

bool is_possible(const NodeInfo& info) {
  const auto is_time = [](const Timestamp& time) { return time.nanoseconds < 1'000'000'000; };
  const Attributes& a = info.attributes;
  return a.size_bytes <= uint64_t{std::numeric_limits<int64_t>::max()} &&
         info.validator.bytes.size() <= kValidatorBytesMax &&
         info.identity.size() <= kIdentityBytesMax && is_time(a.atime) && is_time(a.mtime) &&
         is_time(a.ctime);
}

bool FileSystem::info_is_allowed(std::string_view path, const NodeInfo& info) {
  if (is_possible(info)) return true;
  counters_.refused_infos.add();
  telemetry::log_debug("vfs", "the origin says of '{}' what no file can be", escaped(path));
  return false;
}

std::vector<std::string> FileSystem::refused_names() const {
  sync::MutexLock lock(refused_mutex_);
  return refused_names_;
}

}  // namespace netfs::vfs
