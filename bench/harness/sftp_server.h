#pragma once
// SftpServer: an sshd on loopback that serves this machine's files, for one run.
//
// Started and stopped by tests/servers/sftp.sh, which keeps keys and state under the work
// directory. Thread-safety: one thread.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
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
  static Result<SftpServer> start(const std::string& script, const Workdir& work);
  SftpServer(SftpServer&& other) noexcept
      : script_(std::exchange(other.script_, {})),
        environment_(std::move(other.environment_)),
        access_(std::move(other.access_)) {}
  SftpServer& operator=(SftpServer&&) = delete;
  ~SftpServer();

  [[nodiscard]] const SftpAccess& access() const { return access_; }

 private:
  SftpServer(std::string script, std::vector<std::string> environment, SftpAccess access)
      : script_(std::move(script)),
        environment_(std::move(environment)),
        access_(std::move(access)) {}
  std::string script_;
  std::vector<std::string> environment_;
  SftpAccess access_;
};

}  // namespace netfs::bench
