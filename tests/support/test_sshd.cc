#include "tests/support/test_sshd.h"

#include <arpa/inet.h>
#include <csignal>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kToolTimeout{20};

// A port that was free a moment ago.
unsigned free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return 0;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.sin_port);
}

}  // namespace

TestSshd::TestSshd(const TempDir& temp) : dir_(temp.make_dir("sshd")) {
  const passwd* entry = ::getpwuid(::geteuid());
  user_ = entry != nullptr ? entry->pw_name : "root";
  for (const char* key : {"host_key", "key"}) {
    run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir_ + "/" + key}, kToolTimeout);
  }
  write_file(dir_ + "/authorized_keys", read_text(dir_ + "/key.pub"));
  if (::geteuid() == 0) ::mkdir("/run/sshd", 0755);  // where sshd locks itself in
  for (int attempt = 0; attempt < 5 && port_ == 0; ++attempt) {
    const unsigned port = free_port();
    // An account locked by `!` gets in through PAM only, which an ordinary user cannot use.
    if (start(port, "no") || start(port, "yes")) port_ = port;
  }
}

bool TestSshd::start(unsigned port, const std::string& use_pam) {
  const std::string number = std::to_string(port);
  write_file(dir_ + "/config", "Port " + number + "\nListenAddress 127.0.0.1\nHostKey " + dir_ +
                                   "/host_key\nAuthorizedKeysFile " + dir_ +
                                   "/authorized_keys\nPidFile none\nStrictModes no\nUsePAM " +
                                   use_pam +
                                   "\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                                   "PermitRootLogin prohibit-password\nMaxStartups 100\n"
                                   "Subsystem sftp internal-sftp\n");
  use_pam_ = use_pam;
  process_ = std::make_unique<Process>(
      std::vector<std::string>{"/usr/sbin/sshd", "-D", "-e", "-f", dir_ + "/config"},
      dir_ + "/log");
  const auto scanned = [&] {
    const Finished keys = run({"sh", "-c",
                               "ssh-keyscan -T 2 -p " + number + " 127.0.0.1 2>/dev/null >" + dir_ +
                                   "/known_hosts; test -s " + dir_ + "/known_hosts"},
                              kToolTimeout);
    return keys.status == 0 || process_->wait(Duration::zero()).has_value();
  };
  if (!wait_until(scanned, kToolTimeout)) return false;
  const Finished login =
      run({"ssh", "-F", "/dev/null", "-p", number, "-i", dir_ + "/key", "-o", "BatchMode=yes", "-o",
           "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + dir_ + "/known_hosts",
           user_ + "@127.0.0.1", "true"},
          kToolTimeout);
  return login.status == 0;
}

void TestSshd::stop() {
  std::vector<pid_t> family = children_of(process_->pid());
  for (size_t i = 0; i < family.size(); ++i) {
    for (const pid_t child : children_of(family[i])) family.push_back(child);
  }
  process_.reset();
  for (const pid_t pid : family) kill_process(pid, SIGKILL);
}

bool TestSshd::start_again() {
  // Somebody else's connection may have the port for a moment.
  return wait_until([this] { return start(port_, use_pam_); }, 3 * kToolTimeout);
}

std::string TestSshd::log() const {
  return read_text(dir_ + "/log");
}

std::string TestSshd::url(const std::string& path) const {
  return "sftp://" + user_ + "@127.0.0.1:" + std::to_string(port_) + path;
}

std::vector<std::string> TestSshd::mount_options() const {
  return {"-o", "identity=" + dir_ + "/key,known_hosts=" + dir_ + "/known_hosts"};
}

}  // namespace netfs::test
