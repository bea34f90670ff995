// Goal: what the user is told when a login fails, and that reads live through what happens to
// connections.  Method: a real sshd on loopback; its processes are stopped, killed and started
// again.

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/needs.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_sshd.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kTimeout{30};  // of who answers, beside other tests
constexpr std::chrono::seconds kSilence{4};   // of who does not
constexpr std::chrono::seconds kPatience{60};
constexpr uint64_t kBytes = 8'000'000;

class Sshd : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sshd_.ready()) << sshd_.log();
    tree_ = temp_.make_dir("tree");
  }

  [[nodiscard]] origins::OriginRequest request(const std::string& url) const {
    origins::OriginRequest request{.url = MUST(origins::Url::parse(url)), .timeout = kTimeout};
    request.options["identity"] = sshd_.key_file();
    request.options["known_hosts"] = sshd_.known_hosts_file();
    return request;
  }
  [[nodiscard]] origins::OriginRequest request() const { return request(sshd_.url(tree_)); }
  [[nodiscard]] static Deadline soon() { return Deadline::after(Clock::system(), kTimeout); }

  // The error of opening, which must be one line that holds `words`.
  static int refusal(const origins::OriginRequest& request, const std::string& words) {
    const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request);
    if (origin.ok()) return 0;
    const std::string message = origin.error().message();
    EXPECT_NE(message.find(words), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return origin.code();
  }

  // A program to be run in place of ssh.
  std::string script(const std::string& name, const std::string& text) {
    write_file(temp_ / name, "#!/bin/bash\n" + text + "\n");
    EXPECT_EQ(::chmod((temp_ / name).c_str(), 0755), 0);
    return temp_ / name;
  }

  // Reads the whole file as the library does: what failed is asked again.
  std::string read_persistently(Origin& origin, OriginFile& file, unsigned& failures) {
    std::string bytes;
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    while (bytes.size() < kBytes && Clock::system().now() < until) {
      const ByteRange range{bytes.size(), std::min<uint64_t>(500'000, kBytes - bytes.size())};
      const Result<ReadBytes> read = read_range(origin, file, range, kPatience);
      if (read.ok()) {
        bytes += read.value().bytes;
        continue;
      }
      ++failures;
      EXPECT_TRUE(read.is_error(ENOTCONN)) << read.error().message();
      wait_until([&] { return origin.stat("", soon()).ok(); }, kPatience);
    }
    return bytes;
  }

  // The server's side of every login.
  std::vector<pid_t> sessions() {
    std::vector<pid_t> pids = children_of(sshd_.pid());
    for (size_t i = 0; i < pids.size(); ++i) {
      for (const pid_t child : children_of(pids[i])) pids.push_back(child);
    }
    return pids;
  }
  void signal_sessions(int number) {
    for (const pid_t pid : sessions()) {
      ASSERT_GT(pid, 1);
      kill_process(pid, number);
    }
  }

  TempDir temp_;
  TestSshd sshd_{temp_};
  std::string tree_;
};

TEST_F(Sshd, AnUnknownHostKeyIsRefused) {
  origins::OriginRequest asked = request();
  write_file(temp_ / "nobody", "");
  asked.options["known_hosts"] = temp_ / "nobody";
  EXPECT_EQ(refusal(asked, "the host key is unknown"), EKEYREJECTED);
}

TEST_F(Sshd, AChangedHostKeyIsRefusedLoudly) {
  run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", temp_ / "other"}, kPatience);
  write_file(temp_ / "changed",
             "[127.0.0.1]:" + std::to_string(sshd_.port()) + " " + read_text(temp_ / "other.pub"));
  origins::OriginRequest asked = request();
  asked.options["known_hosts"] = temp_ / "changed";
  EXPECT_EQ(refusal(asked, "CHANGED"), EKEYREJECTED);
}

TEST_F(Sshd, AWrongKeyIsEacces) {
  run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", temp_ / "other"}, kPatience);
  origins::OriginRequest asked = request();
  asked.options["identity"] = temp_ / "other";
  // No agent of whoever runs the tests may help.
  const char* agent = std::getenv("SSH_AUTH_SOCK");
  const std::string kept = agent != nullptr ? agent : "";
  ::unsetenv("SSH_AUTH_SOCK");
  EXPECT_EQ(refusal(asked, "refused every credential"), EACCES);
  if (!kept.empty()) ::setenv("SSH_AUTH_SOCK", kept.c_str(), 1);
}

TEST_F(Sshd, AKeyFileThatIsNotThereIsNamedBeforeAnyConnection) {
  origins::OriginRequest asked = request();
  asked.options["identity"] = temp_ / "missing";
  EXPECT_EQ(refusal(asked, "identity=" + (temp_ / "missing")), ENOENT);
}

TEST_F(Sshd, AHostThatIsDownAndAHostThatIsNoneAreToldApart) {
  sshd_.stop();
  EXPECT_EQ(refusal(request(), "connection refused"), ECONNREFUSED);
  EXPECT_EQ(refusal(request("sftp://no-such-host.invalid/"), "does not resolve"), EHOSTUNREACH);
}

TEST_F(Sshd, AServerWithoutTheSubsystemIsTold) {
  origins::OriginRequest asked = request();
  asked.options["ssh"] = script("nosub", "exec ssh \"${@/%sftp/nosuchsubsystem}\"");
  EXPECT_EQ(refusal(asked, "no SFTP subsystem"), EPROTONOSUPPORT);
}

TEST_F(Sshd, AServerThatDoesNotAnswerIsGivenUpAfterTheTimeout) {
  ASSERT_EQ(kill_process(sshd_.pid(), SIGSTOP), 0);
  origins::OriginRequest asked = request();
  asked.timeout = kSilence;
  const MonoTime began = Clock::system().now();
  EXPECT_EQ(refusal(asked, "did not answer in time"), ETIMEDOUT);
  EXPECT_LT(Clock::system().now() - began, kPatience);
  kill_process(sshd_.pid(), SIGCONT);
}

TEST_F(Sshd, TheUsersConfigurationHoldsAndARelativePathBeginsAtHome) {
  const char* home = std::getenv("HOME");
  ASSERT_NE(home, nullptr);
  std::string folder = std::string(home) + "/netfs-test-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  write_file(folder + "/file", "at home");
  write_file(temp_ / "config",
             "Host an-alias\n  HostName 127.0.0.1\n  Port " + std::to_string(sshd_.port()) + "\n");
  origins::OriginRequest asked =
      request("an-alias:" + std::filesystem::path(folder).filename().string());
  asked.options["ssh"] = script("ssh", "exec ssh -F " + (temp_ / "config") + " \"$@\"");
  // The name in known_hosts is that of the address, which ssh looks up for an alias too.
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(asked);
  EXPECT_TRUE(origin.ok()) << origin.error().message();
  if (origin.ok()) {
    const Result<std::string> read = read_file(*origin.value(), "file");
    EXPECT_TRUE(read.ok() && read.value() == "at home");
  }
  std::filesystem::remove_all(folder);
}

// That it is used is seen by one that is down: then nothing is reached, though the server answers.
TEST_F(Sshd, AJumpHostOfTheConfigurationIsJumpedThrough) {
  write_file(tree_ + "/file", "behind the jump");
  write_file(temp_ / "config",
             "Host behind*\n  HostName 127.0.0.1\nHost behind\n  ProxyJump jump\n"
             "Host behind-nothing\n  ProxyJump down\nHost jump\n  HostName 127.0.0.1\n"
             "Host down\n  HostName 127.0.0.1\n  Port 1\nHost *\n  Port " +
                 std::to_string(sshd_.port()) + "\n  IdentityFile " + sshd_.key_file() +
                 "\n  UserKnownHostsFile " + sshd_.known_hosts_file() + "\n");
  origins::OriginRequest asked = request("behind:" + tree_);
  asked.options["ssh"] = script("ssh", "exec ssh -F " + (temp_ / "config") + " \"$@\"");
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(asked);
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  const Result<std::string> read = read_file(*origin.value(), "file");
  EXPECT_TRUE(read.ok() && read.value() == "behind the jump");
  asked.url = MUST(origins::Url::parse("behind-nothing:" + tree_));
  EXPECT_NE(refusal(asked, "behind-nothing"), 0);
}

TEST_F(Sshd, WhatTheLoginMayNotReadIsEacces) {
  NETFS_TEST_NEEDS(root());
  const char* server = "/usr/lib/openssh/sftp-server";
  NETFS_TEST_NEEDS(::access(server, X_OK) == 0 ? "" : std::string("needs ") + server);
  ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(tree_.c_str(), 0755), 0);
  write_file(tree_ + "/secret", "x");
  ASSERT_EQ(::chmod((tree_ + "/secret").c_str(), 0600), 0);
  ASSERT_EQ(::mkdir((tree_ + "/closed").c_str(), 0700), 0);
  origins::OriginRequest asked = request();
  asked.options["ssh"] =
      script("nobody",
             "[[ $* != *-G* ]] || exit 1\nexec setpriv --reuid=65534 --regid=65534 "
             "--clear-groups " +
                 std::string(server));
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(asked);
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  EXPECT_TRUE(origin.value()->open("secret", soon()).is_error(EACCES));
  const auto take = [](const OriginEntry&) -> Result<void> { return {}; };
  EXPECT_TRUE(origin.value()->list("closed", soon(), take).is_error(EACCES));
  EXPECT_TRUE(origin.value()->stat("secret", soon()).ok());
}

TEST_F(Sshd, ReadsLiveThroughKilledSessions) {
  const Watchdog watchdog(std::chrono::seconds(100), [] { std::abort(); });
  write_file(tree_ + "/file", pattern(1, 0, kBytes));
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request());
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok());
  for (int round = 0; round < 3; ++round) {
    signal_sessions(SIGKILL);
    unsigned failures = 0;
    EXPECT_TRUE(read_persistently(*origin.value(), *file.value(), failures) ==
                pattern(1, 0, kBytes));
  }
}

TEST_F(Sshd, CallsWaitForAServerThatComesBack) {
  const Watchdog watchdog(std::chrono::seconds(100), [] { std::abort(); });
  write_file(tree_ + "/file", "here");
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(request());
  ASSERT_TRUE(origin.ok());
  sshd_.stop();
  // Down: an answer within the deadline, and it is "not connected" or "timed out".
  const Result<NodeInfo> down =
      origin.value()->stat("file", Deadline::after(Clock::system(), kSilence));
  EXPECT_TRUE(down.is_error(ENOTCONN) || down.is_error(ETIMEDOUT)) << down.code();
  ASSERT_TRUE(sshd_.start_again()) << sshd_.log();
  EXPECT_TRUE(wait_until([&] { return origin.value()->stat("file", soon()).ok(); }, kPatience));
  const Result<std::string> read = read_file(*origin.value(), "file");
  EXPECT_TRUE(read.ok() && read.value() == "here");
}

TEST_F(Sshd, ReadsOfAFrozenServerEndInTimeAndGoOnWhenItThaws) {
  const Watchdog watchdog(std::chrono::seconds(100), [] { std::abort(); });
  write_file(tree_ + "/file", pattern(2, 0, kBytes));
  origins::OriginRequest asked = request();
  asked.timeout = kSilence;
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(asked);
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  const Result<std::unique_ptr<OriginFile>> file = origin.value()->open("file", soon());
  ASSERT_TRUE(file.ok());
  signal_sessions(SIGSTOP);
  const std::vector<pid_t> frozen = sessions();
  const MonoTime began = Clock::system().now();
  const Result<ReadBytes> read = read_range(*origin.value(), *file.value(), {0, kBytes}, kPatience);
  EXPECT_TRUE(read.is_error(ENOTCONN)) << read.code();
  EXPECT_LT(Clock::system().now() - began, kPatience);
  for (const pid_t pid : frozen) kill_process(pid, SIGCONT);
  unsigned failures = 0;
  EXPECT_TRUE(read_persistently(*origin.value(), *file.value(), failures) == pattern(2, 0, kBytes));
}

// Method: in place of ssh a program that waits before it becomes ssh, as a far server makes it.
TEST_F(Sshd, AFirstLoginThatTakesLongIsNotAlone) {
  origins::OriginRequest asked = request();
  asked.options["ssh"] = script("slow_ssh", R"(
    [[ $* == *" -s "* ]] && { echo >>)" + (temp_ / "started") +
                                                R"(; sleep 1; }
    exec ssh "$@")");
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(asked);
  ASSERT_TRUE(origin.ok()) << origin.error().message();
  EXPECT_EQ(read_text(temp_ / "started").size(), 4U) << "three were begun before it was up";
  // The server turns out to be near (how near, its load decides): what is too much goes.
  const auto no_surplus = [&] {
    for (const auto& [name, value] : origin.value()->status()) {
      if (name == "connections") {
        return value == std::to_string(children_of(sshd_.pid()).size()) + " of " +
                            value.substr(value.rfind(' ') + 1) &&
               value.substr(0, value.find(' ')) == value.substr(value.rfind(' ') + 1);
      }
    }
    return false;
  };
  EXPECT_TRUE(wait_until(no_surplus, kPatience));
  for (const auto& [name, value] : origin.value()->status()) {
    EXPECT_TRUE(name != "lost connections" || value == "0") << value;
  }
}

TEST_F(Sshd, WhoIsRefusedKnowsItThoughMoreLoginsAreUnderWay) {
  origins::OriginRequest asked = request();
  asked.options["ssh"] = script("slow_refusal", R"(
    [[ $* == *" -s "* ]] || exec ssh "$@"
    if mkdir )" + (temp_ / "first") + R"( 2>/dev/null; then
      sleep 1; echo "Permission denied (publickey)." >&2; exit 255
    fi
    exec sleep 60)");
  const MonoTime began = Clock::system().now();
  EXPECT_EQ(refusal(asked, "refused every credential"), EACCES);
  EXPECT_LT(Clock::system().now() - began, std::chrono::seconds(20));
}

TEST_F(Sshd, AWholePoolOpensByItself) {
  origins::OriginRequest asked = request();
  asked.options["connections"] = "10";
  const Result<std::unique_ptr<Origin>> origin = origins::open_origin(asked);
  ASSERT_TRUE(origin.ok());
  const auto all_up = [&] {
    for (const auto& [name, value] : origin.value()->status()) {
      if (name == "connections") return value == "10 of 10";
    }
    return false;
  };
  EXPECT_TRUE(wait_until(all_up, kPatience));
}

// OpenSSH's own server, with few descriptors: it says how many handles that leaves, and refuses
// more.
class FewHandles : public Sshd {
 protected:
  static constexpr const char* kServer = "/usr/lib/openssh/sftp-server";
  static constexpr unsigned kFiles = 100;
  static constexpr unsigned kDescriptors = 48;

  void SetUp() override {
    Sshd::SetUp();
    NETFS_TEST_NEEDS(::access(kServer, X_OK) == 0 ? "" : std::string("needs ") + kServer);
    origins::OriginRequest asked = request();
    asked.options["connections"] = "1";
    asked.options["ssh"] = script("few", "[[ $* != *-G* ]] || exit 1\nulimit -n " +
                                             std::to_string(kDescriptors) + "\nexec " + kServer);
    for (unsigned i = 0; i < kFiles; ++i) {
      write_file(tree_ + "/file" + std::to_string(i), pattern(i, 0, 5000 + i));
    }
    origin_ = MUST(origins::open_origin(asked));
  }

  void open_all() {
    for (unsigned i = 0; i < kFiles; ++i) {
      Result<std::unique_ptr<OriginFile>> file = origin_->open("file" + std::to_string(i), soon());
      ASSERT_TRUE(file.ok()) << i << ": " << file.error().message();
      files_.push_back(std::move(file).value());
    }
  }

  [[nodiscard]] unsigned open_handles() const {
    for (const auto& [name, value] : origin_->status()) {
      if (name == "open files") return static_cast<unsigned>(std::stoul(value));
    }
    return 0;
  }

  std::unique_ptr<Origin> origin_;
  std::vector<std::unique_ptr<OriginFile>> files_;
};

TEST_F(FewHandles, MoreFilesThanTheServerAllowsAreOpenAtOnceAndAllAreRead) {
  open_all();
  for (unsigned pass = 0; pass < 2; ++pass) {
    for (unsigned i = 0; i < kFiles; ++i) {
      const Result<ReadBytes> read = read_range(*origin_, *files_[i], {0, 6000}, kPatience);
      ASSERT_TRUE(read.ok()) << i << ": " << read.error().message();
      EXPECT_EQ(read.value().bytes, pattern(i, 0, 5000 + i)) << i;
    }
    EXPECT_GT(open_handles(), 1u);
    EXPECT_LT(open_handles(), kDescriptors);
  }
  files_.clear();
  EXPECT_EQ(open_handles(), 0u);
}

// The handle of file0 is given up; when it is opened again its name is a link to elsewhere, which
// OPEN follows.  What tells is the validator that comes with the bytes.
TEST_F(FewHandles, AFileThatBecameALinkWhileOpenIsReadWithAnotherValidator) {
  const Result<NodeInfo> before = origin_->stat("file0", soon());
  ASSERT_TRUE(before.ok());
  open_all();
  write_file(temp_ / "elsewhere", pattern(7, 0, 4000));
  std::filesystem::remove(tree_ + "/file0");
  std::filesystem::create_symlink(temp_ / "elsewhere", tree_ + "/file0");
  const Result<ReadBytes> read = read_range(*origin_, *files_[0], {0, 1000}, kPatience);
  ASSERT_TRUE(read.ok()) << read.error().message();
  ASSERT_TRUE(read.value().validator.has_value());
  EXPECT_FALSE(*read.value().validator == before.value().validator);
}

}  // namespace
}  // namespace netfs::test
