#include "cli/status_command.h"

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/given_up.h"
#include "cli/owners.h"
#include "cli/status_text.h"
#include "daemon/json_fields.h"
#include "fuse/mount_table.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

using nlohmann::json;

constexpr const char* kCommand = "status";
constexpr Duration kStatusTimeout = std::chrono::seconds(15);

constexpr int kAskTimes = 3;

// What one daemon says; null when the target is not its own.
Result<json> ask_owner(const daemon::OwnerPaths& paths, const std::string& target) {
  for (int attempt = 0; attempt < kAskTimes; ++attempt) {
    const std::optional<Result<daemon::Connection>> connection = reach(paths);
    if (!connection) return json();
    if (!connection->ok()) return connection->error();
    Result<daemon::Response> asked =
        daemon::ask(connection->value(), {.verb = daemon::Verb::kStatus, .target = target},
                    Deadline::after(Clock::system(), kStatusTimeout));
    if (asked.is_error(ECONNRESET)) continue;  // it ended at that moment; its successor may answer
    const daemon::Response response = TRY(std::move(asked));
    if (response.code == ENOENT) return json();
    if (response.code != 0) return Error(response.code, kCommand, response.line);
    return TRY(daemon::parse_object(response.body));
  }
  return json();
}

void print(const json& answers, StatusFormat format, bool single) {
  const json dirty = format.dirty ? dirty_json(answers) : json();
  if (format.as_json) {
    const json& all = single ? answers.at(0) : json{{"daemons", answers}};
    const json& shown = format.dirty ? dirty : all;
    std::printf("%s\n", shown.dump(2, ' ', false, json::error_handler_t::replace).c_str());
    return;
  }
  if (format.dirty) {
    std::fputs(dirty_text(dirty).c_str(), stdout);
    return;
  }
  if (answers.empty()) std::printf("nothing is mounted\n");
  for (const json& answer : answers) std::fputs(status_text(answer).c_str(), stdout);
}

}  // namespace

ExitCode run_status(const std::string& target, StatusFormat format) {
  const Result<std::vector<daemon::OwnerPaths>> owners = all_owners();
  if (!owners.ok()) return complain(kCommand, owners.error());
  const bool is_url = target.find(':') != std::string::npos;
  const std::string wanted = target.empty() || is_url ? target : mount_point_path(target);
  json answers = json::array();
  std::vector<Error> silent;
  for (const daemon::OwnerPaths& paths : owners.value()) {
    Result<json> answer = ask_owner(paths, wanted);
    if (!answer.ok()) {
      silent.push_back(std::move(answer).error());
    } else if (!answer.value().is_null()) {
      answers.push_back(std::move(answer).value());
      // A mount point is one daemon's alone: that others are silent does not matter.
      if (!target.empty() && !is_url) break;
    }
  }
  ExitCode exit = ExitCode::kOk;
  if (target.empty() || answers.empty()) {
    for (const Error& error : silent) exit = complain(kCommand, error);
  }
  if (!target.empty() && answers.empty()) {
    if (exit != ExitCode::kOk) return exit;
    const Result<std::optional<fuse::MountEntry>> there = fuse::find_mount(wanted);
    if (there.ok() && there.value() && there.value()->type == "fuse.netfs") {
      std::string why = why_given_up(wanted);
      if (!why.empty()) why = fmt::format(" (it was given up: {})", why);
      return complain(kCommand, Error(ENOTCONN, kCommand,
                                      fmt::format("{} is mounted, but no daemon answers for it{}; "
                                                  "netfs umount takes it away",
                                                  target, why)));
    }
    return complain(kCommand, Error(ENOENT, kCommand,
                                    fmt::format("{} is no netfs mount of this user", target)));
  }
  print(answers, format, !target.empty());
  return exit;
}

}  // namespace netfs::cli
