#include "cli/given_up.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "daemon/runtime_dir.h"

namespace netfs::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::streamoff kEndBytes = 64 << 10;  // the words are among the last

// What stands behind the words in the last line that has them.
std::string find_in(const fs::path& log, const std::string& words) {
  std::ifstream in(log, std::ios::binary | std::ios::ate);
  const std::streamoff size = in.tellg();
  in.seekg(std::max<std::streamoff>(size - kEndBytes, 0));
  std::string found;
  for (std::string line; std::getline(in, line);) {
    const size_t at = line.find(words);
    if (at == std::string::npos) continue;
    const size_t begin = at + words.size();
    found = line.substr(begin, line.find(';', begin) - begin);
  }
  return found;
}

}  // namespace

std::string why_given_up(const std::string& mount_point) {
  const Result<std::string> directory = daemon::runtime_dir();
  if (!directory.ok()) return "";
  std::string why;
  fs::file_time_type newest = fs::file_time_type::min();
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory.value(), error)) {
    if (entry.path().extension() != ".log") continue;
    const fs::file_time_type time = fs::last_write_time(entry.path(), error);
    if (error || time < newest) continue;
    const std::string found = find_in(entry.path(), "giving up " + mount_point + ": ");
    if (found.empty()) continue;
    why = found;
    newest = time;
  }
  return why;
}

}  // namespace netfs::cli
