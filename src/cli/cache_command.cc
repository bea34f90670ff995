#include "cli/cache_command.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "cachefiles/cache_files.h"
#include "cli/status_text.h"
#include "daemon/cache_report.h"
#include "daemon/json_fields.h"
#include "daemon/launch.h"
#include "daemon/mount_checks.h"
#include "daemon/quantity.h"
#include "daemon/shared_store.h"
#include "fuse/mount_table.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

using daemon::format_bytes;
using daemon::Verb;
using nlohmann::json;

constexpr const char* kCommand = "cache";
constexpr Duration kTimeout = std::chrono::seconds(120);
constexpr Duration kHelloTimeout = std::chrono::seconds(15);

// A path below a netfs mount is meant as such; any other as the cache's list shows it.
std::string meant_path(const std::string& path) {
  if (path.empty() || path.front() == '/') return path.empty() ? path : absolute_path(path);
  const std::string absolute = absolute_path(path);
  for (std::string folder = absolute; folder.size() > 1;
       folder = folder.substr(0, folder.rfind('/'))) {
    const Result<std::optional<fuse::MountEntry>> entry = fuse::find_mount(folder);
    if (entry.ok() && entry.value()) {
      return entry.value()->type == "fuse.netfs" ? absolute : path;
    }
  }
  return path;
}

Result<json> work_directly(const CacheArguments& arguments, const std::string& directory) {
  if (arguments.verb == Verb::kCacheDrop && !arguments.path.empty() &&
      arguments.path.front() == '/') {
    return Error(ENOENT, kCommand,
                 fmt::format("{} lies on no mount; nothing is mounted from {}, so give the path "
                             "as netfs cache list shows it",
                             arguments.path, directory));
  }
  // The limit belongs to a mount's options, and there is none: nothing is to be culled from here.
  const uint64_t limit = TRY(daemon::limit_bytes({.percent = 100}, directory));
  const std::unique_ptr<cachefiles::CacheFiles> cache =
      TRY(cachefiles::CacheFiles::create({.directory = directory, .size_limit_bytes = limit}));
  json answer;
  switch (arguments.verb) {
    case Verb::kCacheList:
      answer = TRY(daemon::cache_list(*cache));
      break;
    case Verb::kCacheDrop:
      answer = TRY(daemon::cache_drop(*cache, "", arguments.path));
      break;
    default:
      answer = daemon::cache_usage(*cache);
      answer.erase("limit_bytes");
  }
  TRY(cache->close());
  return answer;
}

Result<json> work(const CacheArguments& arguments, const std::string& directory) {
  const std::string runtime = TRY(daemon::runtime_dir());
  const std::string name = TRY(daemon::owner_name(directory));
  const daemon::OwnerPaths paths = daemon::owner_paths(runtime, name);
  const Deadline deadline = Deadline::within(kTimeout);
  while (!deadline.passed(Clock::system().now())) {
    const Result<daemon::Connection> connection =
        daemon::connect_owner(paths, Deadline::within(kHelloTimeout));
    if (connection.ok()) {
      Result<daemon::Response> asked = daemon::ask(
          connection.value(),
          {.verb = arguments.verb, .target = arguments.path, .all = arguments.all}, deadline);
      if (asked.is_error(ECONNRESET)) continue;  // it ended at that moment
      const daemon::Response response = TRY(std::move(asked));
      if (response.code != 0) return Error(response.code, kCommand, response.line);
      return daemon::parse_object(response.body);
    }
    if (connection.is_error(EPROTONOSUPPORT) || connection.is_error(EACCES)) {
      return connection.error();
    }
    const std::optional<UniqueFd> lock = TRY(daemon::try_lock_owner(paths));
    if (!lock) continue;  // its daemon is just starting or ending; connecting waits for it
    Result<json> answer = work_directly(arguments, directory);
    ::unlink(paths.lock.c_str());
    return answer;
  }
  return Error(ETIMEDOUT, kCommand, fmt::format("the daemon of {} does not answer", directory));
}

// The path itself, which need not be UTF-8.
std::string path_of(const json& object) {
  const std::string hex = object.value("path_hex", std::string());
  if (hex.empty()) return object.value("path", std::string());
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

void print_list(const json& answer) {
  std::printf("%12s %12s  %-10s %s\n", "SIZE", "STORED", "STATE", "PATH");
  for (const json& object : answer.value("objects", json::array())) {
    std::printf("%12s %12s  %-10s %s\n",
                format_bytes(object.value("size_bytes", uint64_t{0})).c_str(),
                format_bytes(object.value("stored_bytes", uint64_t{0})).c_str(),
                object.value("state", std::string()).c_str(), printable(path_of(object)).c_str());
  }
}

void print(Verb verb, const json& answer) {
  const auto number = [&](const char* name) { return answer.value(name, uint64_t{0}); };
  switch (verb) {
    case Verb::kCacheList:
      print_list(answer);
      return;
    case Verb::kCacheDrop:
      std::printf("%s files dropped\n", std::to_string(number("dropped_objects")).c_str());
      return;
    default:
      std::printf("%s%s, %s files, %s complete\n", format_bytes(number("used_bytes")).c_str(),
                  answer.contains("limit_bytes")
                      ? fmt::format(" of {}", format_bytes(number("limit_bytes"))).c_str()
                      : "",
                  std::to_string(number("object_count")).c_str(),
                  std::to_string(number("sealed_count")).c_str());
  }
}

}  // namespace

ExitCode run_cache(const CacheArguments& given) {
  CacheArguments arguments = given;
  arguments.path = meant_path(given.path);
  const std::string directory = daemon::resolved(
      given.cache_dir.empty() ? default_cache_dir() : absolute_path(given.cache_dir));
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) {
    return complain(kCommand,
                    Error(ENOENT, kCommand, fmt::format("there is no cache at '{}'", directory)));
  }
  const Result<json> answer = work(arguments, directory);
  if (!answer.ok()) return complain(kCommand, answer.error());
  if (arguments.as_json) {
    std::printf("%s\n", daemon::dump(answer.value()).c_str());
  } else {
    print(arguments.verb, answer.value());
  }
  return ExitCode::kOk;
}

}  // namespace netfs::cli
