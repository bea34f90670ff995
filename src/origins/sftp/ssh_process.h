#pragma once
// SshProcess: one `ssh -s sftp` and the socket to its standard input and output.
//
// The user's ssh config, agent, known_hosts and ProxyJump all hold, since it is the user's ssh; we
// only ask it not to prompt (BatchMode), not to forward anything, and to notice a dead peer.  It
// ends with us and inherits none of our descriptors.  What it says on standard error is kept, and
// turned into one line for the user when it fails.
//
// It gets SIGTERM when the *thread* that started it ends (PR_SET_PDEATHSIG), so start it from one
// that lives as long.  Thread-safety: none.

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::origins::sftp {

struct SshTarget {
  std::string program = "ssh";
  std::string user;  // empty: as ssh decides
  std::string host;
  uint16_t port = 0;        // 0: as ssh decides
  std::string identity;     // -o identity=FILE
  std::string known_hosts;  // -o known_hosts=FILE
  Duration timeout = std::chrono::seconds(30);

  // "ann@h:22", for messages.
  [[nodiscard]] std::string name() const;
};

// The command line without what `ssh -G` would change.
std::vector<std::string> ssh_arguments(const SshTarget& target);

// More options, found by asking `ssh -G` for the effective configuration: AES-GCM first if the
// cipher list is OpenSSH's own (three times as fast as its first choice with AES instructions), and
// keep-alive if the user set none.  Empty when ssh does not answer.
std::vector<std::string> tuned_options(const SshTarget& target);

class SshProcess {
 public:
  static Result<SshProcess> start(const SshTarget& target,
                                  const std::vector<std::string>& more_options);
  SshProcess(SshProcess&&) = default;
  SshProcess& operator=(SshProcess&&) = delete;
  // Ends it: SIGTERM, then SIGKILL.
  ~SshProcess();

  // Non-blocking, both ways.
  [[nodiscard]] int fd() const { return socket_.get(); }
  // Why it ended or does not answer, as one sentence with an errno: reads what ssh said.
  [[nodiscard]] Error failure(const SshTarget& target) const;

 private:
  SshProcess(pid_t pid, UniqueFd socket, UniqueFd errors)
      : pid_(pid), socket_(std::move(socket)), errors_(std::move(errors)) {}

  struct Pid {
    explicit Pid(pid_t p) : value(p) {}
    Pid(Pid&& other) noexcept : value(std::exchange(other.value, -1)) {}
    Pid& operator=(Pid&&) = delete;
    pid_t value;
  };
  Pid pid_;
  UniqueFd socket_;
  UniqueFd errors_;  // reading end of its standard error, non-blocking
};

// The sentence and errno for what ssh printed; for tests.
Error explain_ssh_failure(const SshTarget& target, const std::string& said);

}  // namespace netfs::origins::sftp
