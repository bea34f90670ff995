#include "cli/bwlimit_command.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/owners.h"
#include "cli/status_text.h"
#include "daemon/bandwidth.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

constexpr const char* kCommand = "bwlimit";
constexpr Duration kAnswerTimeout = std::chrono::seconds(60);

}  // namespace

ExitCode run_bwlimit(const std::string& target, const std::string& rate) {
  const bool is_url = target.find(':') != std::string::npos;
  daemon::Request request{.verb = daemon::Verb::kLimit,
                          .target = is_url ? target : mount_point_path(target)};
  if (!rate.empty()) {
    const Result<Bandwidth> wanted = daemon::parse_bandwidth(rate);
    if (!wanted.ok()) return complain(kCommand, wanted.error());
    request.options["bwlimit"] = rate;
  }
  const Result<std::vector<daemon::OwnerPaths>> owners = all_owners();
  if (!owners.ok()) return complain(kCommand, owners.error());
  for (const daemon::OwnerPaths& paths : owners.value()) {
    const std::optional<Result<daemon::Connection>> connection = reach(paths);
    if (!connection || !connection->ok()) continue;
    const Result<daemon::Response> response =
        daemon::ask(connection->value(), request, Deadline::after(Clock::system(), kAnswerTimeout));
    // EPROTO: a daemon of a version that does not know the word, and has no such mount.
    const int code = response.ok() ? response.value().code : EPROTO;
    if (code == ENOENT || code == EPROTO) continue;
    if (code != 0) return complain(kCommand, response.value());
    const auto mounts = nlohmann::json::parse(response.value().body, nullptr, false);
    if (!mounts.is_object()) return complain(kCommand, Error(EPROTO, kCommand));
    for (const auto& [mount, limit] : mounts.items()) {
      const std::string text = limit.is_string() ? limit.get<std::string>() : std::string();
      std::printf("%s: %s\n", printable(mount).c_str(), printable(text).c_str());
    }
    return ExitCode::kOk;
  }
  return complain(kCommand,
                  Error(ENOENT, kCommand, fmt::format("{} is no mount of netfs", target)));
}

}  // namespace netfs::cli
