#include "cli/upgrade_command.h"

#include <cstdio>
#include <filesystem>

#include "cli/owners.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

constexpr const char* kCommand = "upgrade";
constexpr Duration kAskTimeout = std::chrono::seconds(15);
constexpr Duration kUpgradeTimeout = std::chrono::seconds(180);

std::string this_program() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

// Whether that daemon has the mount: a connection is good for one request.
bool has_mount(const daemon::OwnerPaths& paths, const std::string& target) {
  const std::optional<Result<daemon::Connection>> connection = reach(paths);
  if (!connection || !connection->ok()) return false;
  const Result<daemon::Response> response =
      daemon::ask(connection->value(), {.verb = daemon::Verb::kStatus, .target = target},
                  Deadline::after(Clock::system(), kAskTimeout));
  return response.ok() && response.value().code == 0;
}

// Nullopt: that daemon has ended.
std::optional<ExitCode> upgrade_owner(const daemon::OwnerPaths& paths, const std::string& program) {
  const std::optional<Result<daemon::Connection>> connection = reach(paths);
  if (!connection) return std::nullopt;
  if (!connection->ok()) return complain(kCommand, connection->error());
  const Result<daemon::Response> response =
      daemon::ask(connection->value(), {.verb = daemon::Verb::kUpgrade, .target = program},
                  Deadline::after(Clock::system(), kUpgradeTimeout));
  if (response.is_error(ECONNRESET)) {
    return complain(kCommand, Error(ECONNRESET, kCommand,
                                    "the daemon ended before it said how that went; netfs status "
                                    "shows what is mounted"));
  }
  if (!response.ok()) return complain(kCommand, response.error());
  if (response.value().code == EPROTO) {
    return complain(kCommand, Error(EPROTO, kCommand,
                                    fmt::format("netfs {} (pid {}) knows nothing of upgrades; "
                                                "unmount what it has mounted",
                                                connection->value().hello.version,
                                                connection->value().hello.pid)));
  }
  if (response.value().code != 0) return complain(kCommand, response.value());
  std::printf("%s\n", response.value().line.c_str());
  return ExitCode::kOk;
}

}  // namespace

ExitCode run_upgrade(const std::string& target, const std::string& program) {
  const std::string path = program.empty() ? this_program() : absolute_path(program);
  const Result<std::vector<daemon::OwnerPaths>> owners = all_owners();
  if (!owners.ok()) return complain(kCommand, owners.error());
  const bool is_url = target.find(':') != std::string::npos;
  const std::string wanted = target.empty() || is_url ? target : mount_point_path(target);
  unsigned asked = 0;
  ExitCode worst = ExitCode::kOk;
  for (const daemon::OwnerPaths& paths : owners.value()) {
    if (!wanted.empty() && !has_mount(paths, wanted)) continue;
    const std::optional<ExitCode> code = upgrade_owner(paths, path);
    if (!code) continue;
    ++asked;
    if (*code != ExitCode::kOk) worst = *code;
  }
  if (asked > 0) return worst;
  if (wanted.empty()) {
    std::printf("nothing is mounted\n");
    return ExitCode::kOk;
  }
  return complain(kCommand,
                  Error(ENOENT, kCommand, fmt::format("{} is no mount of netfs", target)));
}

}  // namespace netfs::cli
