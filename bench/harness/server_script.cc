#include "harness/server_script.h"

#include <sstream>
#include <stdlib.h>

#include "harness/process.h"

namespace netfs::bench {

namespace {

constexpr std::chrono::seconds kScriptTimeout{120};

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

Result<ServerScript> ServerScript::start(const How& how, const std::string& port_name,
                                         const Workdir& work) {
  std::vector<std::string> environment = how.environment;
  environment.push_back("SERVERS_DIR=" + TRY(work.directory("servers")));
  std::string name = how.script.substr(how.script.rfind('/') + 1);
  Command start{
      .argv = {how.script, "start"}, .environment = environment, .log = work.path(name + ".log")};
  start.argv.insert(start.argv.end(), how.words.begin(), how.words.end());
  TRY(run(start, kScriptTimeout));
  ServerScript server(how.script, environment);
  server.settings_ = settings_of(
      TRY(output_of({.argv = {how.script, "env"}, .environment = environment}, kScriptTimeout)));
  if (server.port(port_name) == 0) {
    return Error(EPROTO, "bench.server", how.script + " env names no " + port_name);
  }
  return server;
}

ServerScript::~ServerScript() {
  if (script_.empty()) return;
  (void)run({.argv = {script_, "stop"}, .environment = environment_}, kScriptTimeout).ok();
}

std::string ServerScript::setting(const std::string& name) const {
  const auto found = settings_.find(name);
  return found == settings_.end() ? std::string() : found->second;
}

uint16_t ServerScript::port(const std::string& name) const {
  return static_cast<uint16_t>(::atoi(setting(name).c_str()));
}

}  // namespace netfs::bench
