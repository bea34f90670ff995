// Goal: a login for which no key file is named is made with what the user's ssh-agent holds.
// Method: a real sshd on loopback and an agent of its own, and an ssh that knows no key file.

#include <cerrno>
#include <cstdlib>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "origins/module_loader.h"
#include "tests/support/needs.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kPatience{60};

// Where ssh looks for an agent; afterwards it is as it was.
class AgentVariable {
 public:
  AgentVariable() {
    const char* value = std::getenv(kName);
    if (value != nullptr) before_ = value;
  }
  ~AgentVariable() {
    if (before_.empty()) {
      ::unsetenv(kName);
    } else {
      set(before_);
    }
  }
  AgentVariable(const AgentVariable&) = delete;
  AgentVariable& operator=(const AgentVariable&) = delete;

  void set(const std::string& socket) { ::setenv(kName, socket.c_str(), 1); }
  void unset() { ::unsetenv(kName); }

 private:
  static constexpr const char* kName = "SSH_AUTH_SOCK";
  std::string before_;
};

TEST(SshdAgent, TheUsersAgentIsAskedForKeys) {
  NETFS_TEST_NEEDS(program("ssh-agent"));
  const TempDir temp;
  const TestSshd sshd(temp);
  ASSERT_TRUE(sshd.ready()) << sshd.log();
  write_file(temp / "config", "IdentityFile none\n");
  write_file(temp / "ssh", "#!/bin/bash\nexec ssh -F " + (temp / "config") + " \"$@\"\n");
  ASSERT_EQ(::chmod((temp / "ssh").c_str(), 0755), 0);
  origins::OriginRequest asked{.url = MUST(origins::Url::parse(sshd.url(temp.make_dir("tree"))))};
  asked.options["known_hosts"] = sshd.known_hosts_file();
  asked.options["ssh"] = temp / "ssh";
  const auto login = [&] { return origins::open_origin(asked).code(); };

  const std::string socket = temp / "agent";
  const Process agent({"ssh-agent", "-D", "-a", socket}, temp / "agent.log");
  ASSERT_TRUE(wait_until([&] { return ::access(socket.c_str(), F_OK) == 0; }, kPatience))
      << agent.output();
  AgentVariable variable;
  variable.set(socket);
  EXPECT_EQ(login(), EACCES) << "the agent has no key yet: the test proves nothing";
  const Finished added = run({"ssh-add", "-q", sshd.key_file()}, kPatience);
  ASSERT_EQ(added.status, 0) << added.output;
  EXPECT_EQ(login(), 0);
  variable.unset();
  EXPECT_EQ(login(), EACCES) << "it was not the agent that let it in";
}

}  // namespace
}  // namespace netfs::test
