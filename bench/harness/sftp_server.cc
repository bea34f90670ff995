#include "harness/sftp_server.h"

#include <map>
#include <sstream>
#include <stdlib.h>

#include "harness/process.h"

namespace netfs::bench {

namespace {

constexpr std::chrono::seconds kScriptTimeout{60};

// NAME=VALUE lines; quotes that a shell would take off are taken off.
std::map<std::string, std::string> settings_of(const std::string& text) {
  std::map<std::string, std::string> settings;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.rfind("export ", 0) == 0) line.erase(0, 7);
    size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    std::string value = line.substr(equals + 1);
    if (value.size() >= 2 && (value.front() == '\'' || value.front() == '"')) {
      value = value.substr(1, value.size() - 2);
    }
    settings[line.substr(0, equals)] = value;
  }
  return settings;
}

}  // namespace

Result<SftpServer> SftpServer::start(const std::string& script, const Workdir& work) {
  std::string state = TRY(work.directory("servers"));
  std::vector<std::string> environment{"SERVERS_DIR=" + state};
  TRY(run({.argv = {script, "start"}, .environment = environment, .log = work.path("sftp.log")},
          kScriptTimeout));
  Result<std::string> text =
      output_of({.argv = {script, "env"}, .environment = environment}, kScriptTimeout);
  SftpAccess access;
  if (text.ok()) {
    std::map<std::string, std::string> settings = settings_of(text.value());
    access = {.host = settings["SFTP_HOST"],
              .port = static_cast<uint16_t>(::atoi(settings["SFTP_PORT"].c_str())),
              .user = settings["SFTP_USER"],
              .key_file = settings["SFTP_KEY"],
              .known_hosts_file = settings["SFTP_KNOWN_HOSTS"]};
  }
  SftpServer server(script, std::move(environment), std::move(access));
  if (!text.ok()) return std::move(text).error();
  if (server.access().port == 0) {
    return Error(EPROTO, "bench.sftp", script + " env names no SFTP_PORT");
  }
  return server;
}

SftpServer::~SftpServer() {
  if (script_.empty()) return;
  (void)run({.argv = {script_, "stop"}, .environment = environment_}, kScriptTimeout).ok();
}

}  // namespace netfs::bench
