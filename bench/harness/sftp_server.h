#pragma once
// SftpServer: an sshd on loopback that serves this machine's files, for one run.
//
// Started and stopped by tests/servers/sftp.sh, which keeps its keys under the work directory.
// Thread-safety: one thread.

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"
#include "harness/server_script.h"
#include "harness/workdir.h"

namespace netfs::bench {

// How a client reaches the server; the port may be a proxy's.
struct SftpAccess {
  std::string host;
  uint16_t port = 0;
  std::string user;
  std::string key_file;
  std::string known_hosts_file;

  [[nodiscard]] std::string url(const std::string& path) const {
    return "sftp://" + user + "@" + host + ":" + std::to_string(port) + path;
  }
};

class SftpServer {
 public:
  static Result<SftpServer> start(const std::string& script, const Workdir& work) {
    ServerScript server = TRY(ServerScript::start({.script = script}, "SFTP_PORT", work));
    SftpAccess access{.host = server.setting("SFTP_HOST"),
                      .port = server.port("SFTP_PORT"),
                      .user = server.setting("SFTP_USER"),
                      .key_file = server.setting("SFTP_KEY"),
                      .known_hosts_file = server.setting("SFTP_KNOWN_HOSTS")};
    return SftpServer(std::move(server), std::move(access));
  }

  [[nodiscard]] const SftpAccess& access() const { return access_; }

 private:
  SftpServer(ServerScript server, SftpAccess access)
      : server_(std::move(server)), access_(std::move(access)) {}
  ServerScript server_;
  SftpAccess access_;
};

}  // namespace netfs::bench
