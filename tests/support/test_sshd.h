#pragma once
// TestSshd: a real sshd on loopback with keys of its own, for as long as the object lives.
//
//   TestSshd sshd(temp);
//   ASSERT_TRUE(sshd.ready()) << sshd.log();
//   NetfsMount mount({.url = sshd.url(tree), .more = sshd.mount_options()}, temp);

#include <memory>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

class TestSshd {
 public:
  explicit TestSshd(const TempDir& temp);

  [[nodiscard]] bool ready() const { return port_ != 0; }
  [[nodiscard]] std::string log() const;

  [[nodiscard]] std::string url(const std::string& path) const;
  // The arguments of `netfs mount` that let it in.
  [[nodiscard]] std::vector<std::string> mount_options() const;

  [[nodiscard]] unsigned port() const { return port_; }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }
  [[nodiscard]] std::string key_file() const { return dir_ + "/key"; }
  [[nodiscard]] std::string known_hosts_file() const { return dir_ + "/known_hosts"; }

  // Kills it with all its sessions, as a host that goes down does; and starts it again on the same
  // port.
  void stop();
  [[nodiscard]] bool start_again();

 private:
  bool start(unsigned port, const std::string& use_pam);

  const std::string dir_;
  std::string user_;
  std::unique_ptr<Process> process_;
  unsigned port_ = 0;
  std::string use_pam_ = "no";
};

}  // namespace netfs::test
