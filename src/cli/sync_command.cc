#include "cli/sync_command.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "cli/owners.h"
#include "daemon/quantity.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

constexpr const char* kCommand = "sync";
constexpr Duration kAnswerTimeout = std::chrono::seconds(60);
// Who has nothing to do with a mount says so sooner.
constexpr Duration kShort = std::chrono::seconds(1);

// Nullopt: none of them has it.
std::optional<ExitCode> ask_all(daemon::Request& request, MonoTime until) {
  const Result<std::vector<daemon::OwnerPaths>> owners = all_owners();
  if (!owners.ok()) return complain(kCommand, owners.error());
  for (const daemon::OwnerPaths& paths : owners.value()) {
    for (;;) {
      // A connection is good for one request.
      const std::optional<Result<daemon::Connection>> connection = reach(paths);
      if (!connection || !connection->ok()) break;
      const Result<daemon::Response> response = daemon::ask(
          connection->value(), request, Deadline::after(Clock::system(), kAnswerTimeout));
      // EPROTO: a daemon of a version that does not know the word, and has no such mount.
      const int code = response.ok() ? response.value().code : EPROTO;
      if (code == ENOENT || code == EPROTO) break;
      if (response.value().code == 0) return ExitCode::kOk;
      // What is done here from now on is not waited for.
      const auto upto = nlohmann::json::parse(response.value().body, nullptr, false);
      if (upto.is_object()) {
        for (const auto& [mount, last] : upto.items()) {
          if (last.is_string()) request.options[mount] = last.get<std::string>();
        }
      }
      const bool waits = response.value().code == ETIMEDOUT && Clock::system().now() < until;
      if (!waits) return complain(kCommand, response.value());
    }
  }
  return std::nullopt;
}

}  // namespace

ExitCode run_sync(const std::string& target, const std::string& timeout) {
  MonoTime until = MonoTime::max();
  if (!timeout.empty()) {
    const Result<Duration> wanted = daemon::parse_duration(timeout);
    if (!wanted.ok()) return complain(kCommand, wanted.error());
    until = Clock::system().now() + wanted.value();
  }
  const bool is_url = target.find(':') != std::string::npos;
  const std::string path = is_url ? target : mount_point_path(target);
  daemon::Request request{.verb = daemon::Verb::kSync, .target = path};
  unsigned moments = 0;
  do {
    const MonoTime asked = Clock::system().now();
    if (const std::optional<ExitCode> done = ask_all(request, until)) return *done;
    // One that had it has died meanwhile.
    if (Clock::system().now() - asked > kShort) moments = 0;
  } while (!is_url && waits_for_worker(path, moments));
  return complain(kCommand,
                  Error(ENOENT, kCommand, fmt::format("{} is no mount of netfs", target)));
}

}  // namespace netfs::cli
