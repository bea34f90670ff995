#include "cli/command.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <vector>

#include "daemon/mount_checks.h"

namespace netfs::cli {

ExitCode complain(std::string_view command, const daemon::Response& response) {
  std::fprintf(stderr, "netfs %.*s: %s\n", static_cast<int>(command.size()), command.data(),
               response.line.c_str());
  return response.exit;
}

ExitCode complain(std::string_view command, const Error& error) {
  return complain(command, daemon::failure(error));
}

std::string absolute_path(std::string_view path) {
  std::string whole(path);
  if (path.empty() || path.front() != '/') {
    char here[PATH_MAX];
    if (::getcwd(here, sizeof here) != nullptr) whole = std::string(here) + "/" + whole;
  }
  std::vector<std::string_view> parts;
  std::string_view rest = whole;
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string result;
  for (const std::string_view part : parts) result.append("/").append(part);
  return result.empty() ? "/" : result;
}

std::string mount_point_path(std::string_view path) {
  const std::string absolute = absolute_path(path);
  const size_t slash = absolute.rfind('/');
  if (slash == 0) return absolute;
  const std::string parent = daemon::resolved(absolute.substr(0, slash));
  return (parent == "/" ? "" : parent) + absolute.substr(slash);
}

std::string default_cache_dir() {
  if (::geteuid() == 0) return "/var/cache/netfs";
  const char* cache_home = std::getenv("XDG_CACHE_HOME");
  if (cache_home != nullptr && cache_home[0] == '/') return std::string(cache_home) + "/netfs";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::string(home) + "/.cache/netfs";
  return {};
}

}  // namespace netfs::cli
