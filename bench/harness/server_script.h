#pragma once
// ServerScript: a real server that a script of tests/servers starts, for one run.
//
// The script keeps its state under the work directory, and stops the server when this is destroyed.
// Thread-safety: one thread.
//
//   ServerScript server = TRY(ServerScript::start({"tests/servers/http.sh", {"nginx"}}, work));
//   server.port("HTTP_NGINX_HTML_PORT")

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "harness/workdir.h"

namespace netfs::bench {

class ServerScript {
 public:
  struct How {
    std::string script;
    std::vector<std::string> words;        // after "start"
    std::vector<std::string> environment;  // NAME=VALUE
  };
  // EPROTO when `port_name` is not among what it says of itself.
  static Result<ServerScript> start(const How& how, const std::string& port_name,
                                    const Workdir& work);
  ServerScript(ServerScript&& other) noexcept
      : script_(std::exchange(other.script_, {})),
        environment_(std::move(other.environment_)),
        settings_(std::move(other.settings_)) {}
  ServerScript& operator=(ServerScript&&) = delete;
  ~ServerScript();

  // What its `env` says; "" or 0 where it says nothing.
  [[nodiscard]] std::string setting(const std::string& name) const;
  [[nodiscard]] uint16_t port(const std::string& name) const;

 private:
  ServerScript(std::string script, std::vector<std::string> environment)
      : script_(std::move(script)), environment_(std::move(environment)) {}
  std::string script_;
  std::vector<std::string> environment_;
  std::map<std::string, std::string> settings_;
};

}  // namespace netfs::bench
