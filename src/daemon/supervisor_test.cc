// Goal: the supervisor keeps mounts through the deaths of its workers, and gives up aloud.
// Method: a real supervisor in a child process, and workers that are this program again, which do
// what the settings say and write what they see to a file.

#include "daemon/supervisor.h"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <poll.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "daemon/control_socket.h"
#include "daemon/packet.h"
#include "daemon/supervisor_link.h"
#include "daemon/testing/notify_socket.h"
#include "daemon/worker_process.h"
#include "fuse/mount_table.h"
#include "sync/thread.h"

namespace netfs::daemon {
namespace {

constexpr std::chrono::seconds kBound{60};

Deadline bound() {
  return Deadline::after(Clock::system(), kBound);
}

// What a worker is told: "BEHAVIOUR DIRECTORY".
struct Script {
  std::string behaviour;
  std::string directory;
};

void note(const Script& script, const std::string& line) {
  std::ofstream(script.directory + "/notes", std::ios::app) << line << "\n";
}

// Answers come through a loop that somebody else runs; here a thread that ends with the process.
struct Loop {
  explicit Loop(SupervisorLink& link)
      : thread("loop", [&link, this] {
          while (!done) {
            if (!wait_readable(link.socket(),
                               Deadline::after(Clock::system(), std::chrono::milliseconds(50)))
                     .ok()) {
              continue;
            }
            const SupervisorLink::Event event = link.receive();
            if (event == SupervisorLink::Event::kStop) stopped = true;
            if (event == SupervisorLink::Event::kGone) done = true;
          }
        }) {}
  ~Loop() { done = true; }
  std::atomic<bool> done{false};
  std::atomic<bool> stopped{false};
  sync::Thread thread;
};

// Mounts, is killed, is followed by one that finds the mount as it was left, and unmounts it.
int hold_a_mount(const Script& script, SupervisorLink& link, const Inheritance& inheritance) {
  Loop loop(link);
  const std::string mount_point = script.directory + "/mnt";
  if (inheritance.workers_before == 0) {
    fuse::MountOptions options{.source = "test:held", .mount_point = mount_point, .queues = 2};
    const uint64_t id = link.new_id();
    const auto fds = link.mount(id, options, "not kept", bound());
    note(script,
         fds.ok() ? "mounted " + std::to_string(fds.value().size()) : fds.error().message());
    if (script.behaviour == "begin") return ::raise(SIGKILL);
    link.keep(id, "first state");
    return ::raise(SIGKILL);
  }
  for (const Adopted& adopted : inheritance.mounts) {
    note(script, "adopted " + std::to_string(adopted.fds.size()) + " " + adopted.state);
    const bool gives_up = script.behaviour == "give-up";
    if (inheritance.workers_before == 1 && !gives_up) {
      link.keep(adopted.id, "second state");
      return ::raise(SIGKILL);
    }
    const auto gone = link.unmount(mount_point, fuse::UnmountMode::kPlain, bound());
    note(script, gone.ok() ? "unmounted" : gone.error().message());
    if (gives_up) link.give_up(adopted.id);
    if (!gives_up) link.release(adopted.id);
  }
  return 0;
}

// As a worker that was killed and does not end: it has all descriptors that the worker had.  And
// it is a user of the mount, and notes what it gets.
void leave_behind(const Script& script, int root) {
  if (::fork() != 0) return;
  ::close(kWorkerSocketFd);
  ::alarm(static_cast<unsigned>(kBound.count()));
  struct stat st {};
  const int code = ::fstatat(root, "file", &st, 0) == 0 ? 0 : errno;
  note(script, "who was in it got " + std::to_string(code));
  ::_exit(0);
}

int leave_a_mount(const Script& script, SupervisorLink& link, const Inheritance& inheritance) {
  Loop loop(link);
  const std::string mount_point = script.directory + "/mnt";
  if (inheritance.workers_before == 0) {
    const fuse::MountOptions options{.source = "test:held", .mount_point = mount_point};
    const uint64_t id = link.new_id();
    const auto fds = link.mount(id, options, "", bound());
    const UniqueFd root(::open(mount_point.c_str(), O_PATH | O_CLOEXEC));
    if (!fds.ok() || !root) return 1;
    if (script.behaviour != "left-unfinished") link.keep(id, "");
    leave_behind(script, root.get());
    return ::raise(SIGKILL);
  }
  if (script.behaviour == "left-crash") return 1;
  for (const Adopted& adopted : inheritance.mounts) {
    if (script.behaviour == "left-give-up") link.give_up(adopted.id);
    if (script.behaviour == "left-release") link.release(adopted.id);
  }
  return 0;
}

// Keeps descriptors by keys, more than go into one packet, and drops some: the next one has the
// rest, and so has the one after that.
int keep_descriptors(const Script& script, SupervisorLink& link, const Inheritance& inheritance) {
  constexpr uint64_t kKeys = kPacketFdsMax + 10;
  Loop loop(link);
  const std::string mount_point = script.directory + "/mnt";
  if (inheritance.workers_before == 0) {
    const fuse::MountOptions options{.source = "test:held", .mount_point = mount_point};
    const uint64_t id = link.new_id();
    if (!link.mount(id, options, "", bound()).ok()) return 1;
    link.keep(id, "");
    for (uint64_t key = 1; key <= kKeys; ++key) {
      const UniqueFd file(::memfd_create("kept", MFD_CLOEXEC));
      if (::ftruncate(file.get(), static_cast<off_t>(key)) != 0) return 1;
      link.keep_descriptor(id, key, file.get());
    }
    link.drop_descriptor(id, 3);
    return ::raise(SIGKILL);
  }
  const Adopted& adopted = inheritance.mounts.front();
  size_t sound = 0;
  for (const auto& [key, fd] : adopted.kept) {
    struct stat st {};
    sound += ::fstat(fd.get(), &st) == 0 && st.st_size == static_cast<off_t>(key) ? 1 : 0;
  }
  note(script, std::to_string(sound) + " of " + std::to_string(kKeys) + " kept" +
                   (adopted.kept.contains(3) ? ", also what was dropped" : ""));
  if (inheritance.workers_before == 1) return ::raise(SIGKILL);
  if (!link.unmount(mount_point, fuse::UnmountMode::kPlain, bound()).ok()) return 1;
  link.release(adopted.id);
  return 0;
}

int wait_for_stop(const Script& script, SupervisorLink& link) {
  note(script, "serving");
  const Deadline deadline = bound();
  while (!deadline.passed(Clock::system().now())) {
    if (wait_readable(link.socket(), deadline).ok() &&
        link.receive() == SupervisorLink::Event::kStop) {
      note(script, "stopped");
      return 0;
    }
  }
  return 1;
}

int worker_main_of_test() {
  SupervisorLink link{UniqueFd(kWorkerSocketFd)};
  const Result<Inheritance> inheritance = link.receive_inheritance(bound());
  if (!inheritance.ok()) return 1;
  std::istringstream words(inheritance.value().settings);
  Script script;
  words >> script.behaviour >> script.directory;
  if (script.behaviour == "crash") {
    note(script, "began");
    ::signal(SIGABRT, SIG_DFL);
    return 1;
  }
  if (script.behaviour == "killed-twice") {
    note(script, "began");
    return inheritance.value().workers_before < 2 ? ::raise(SIGKILL) : 0;
  }
  if (script.behaviour == "slow-client") {
    note(script, "began");
    if (inheritance.value().workers_before == 0) return ::raise(SIGKILL);
    link.ending();
    return 0;
  }
  if (script.behaviour == "begin" && inheritance.value().workers_before > 0) {
    note(script, std::to_string(inheritance.value().mounts.size()) + " inherited");
    return 0;
  }
  const std::string& how = script.behaviour;
  const Inheritance& has = inheritance.value();
  if (how == "hold" || how == "begin" || how == "give-up") return hold_a_mount(script, link, has);
  if (how.starts_with("left-")) return leave_a_mount(script, link, has);
  if (how.starts_with("keep")) return keep_descriptors(script, link, has);
  return wait_for_stop(script, link);
}

constexpr rlim_t kFewDescriptors = 256 + 12;  // as many as it keeps for itself, and some

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() { EXPECT_NE(::mkdtemp(directory_.data()), nullptr); }
  ~SupervisorTest() override {
    if (pid_ > 0) kill_process(pid_, SIGKILL);
    ::umount2((directory_ + "/mnt").c_str(), MNT_DETACH);
    for (const char* name : {"/mnt", "/notes", "/socket"}) ::remove((directory_ + name).c_str());
    ::rmdir(directory_.c_str());
  }

  // False where nothing can be mounted, and that is said.
  bool make_mount_point() {
    if (::geteuid() != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0) {
      std::printf("SKIPPED: SupervisorTest: needs root and /dev/fuse\n");
      return false;
    }
    EXPECT_EQ(::mkdir((directory_ + "/mnt").c_str(), 0755), 0);
    return true;
  }

  void start(const std::string& behaviour) {
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ > 0) return;
    const rlimit few{.rlim_cur = kFewDescriptors, .rlim_max = kFewDescriptors};
    if (behaviour == "keep-few" && ::setrlimit(RLIMIT_NOFILE, &few) != 0) ::_exit(1);
    UniqueFd listener = listen_control(directory_ + "/socket").value();
    const pid_t client = behaviour == "slow-client" ? start_client() : -1;
    Supervisor supervisor({.listener = std::move(listener),
                           .settings = behaviour + " " + directory_,
                           .command = {"/proc/self/exe", "fake-worker"},
                           .client = client});
    ::_exit(supervisor.run());
  }

  // One that has not come to its question before the second worker has ended for want of one.
  [[nodiscard]] pid_t start_client() const {
    const pid_t client = ::fork();
    if (client != 0) return client;
    const Deadline deadline = bound();
    while (notes().find("began\nbegan\nbegan\n") != 0) {
      if (deadline.passed(Clock::system().now())) ::_exit(1);
      ::poll(nullptr, 0, 5);
    }
    ::_exit(0);
  }

  // The exit code; -1 when it did not end in time.
  int wait() {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!wait_readable(process.get(), bound()).ok()) return -1;
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // Whether users of a mount hear of its end though somebody else has its descriptors.
  void expect_that_users_hear(const std::string& behaviour, int exit_code) {
    start(behaviour);
    EXPECT_EQ(wait(), exit_code);
    const Deadline deadline = bound();
    while (notes().empty() && !deadline.passed(Clock::system().now())) ::poll(nullptr, 0, 5);
    EXPECT_EQ(notes(), "who was in it got " + std::to_string(ENOTCONN) + "\n");
  }

  [[nodiscard]] std::string notes() const {
    std::ostringstream text;
    text << std::ifstream(directory_ + "/notes").rdbuf();
    return text.str();
  }

  std::string directory_ = "/tmp/netfs-supervisor-XXXXXX";
  pid_t pid_ = -1;
};

}  // namespace

TEST_F(SupervisorTest, KilledWorkerIsStartedAgainUntilItEndsWell) {
  start("killed-twice");
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(notes(), "began\nbegan\nbegan\n");
}

// Else it would wait for its client, and the client for a daemon.
TEST_F(SupervisorTest, AClientThatIsSlowToAskFindsAWorkerAfterOneWasKilled) {
  start("slow-client");
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(notes().find("began\nbegan\nbegan\n"), 0U) << notes();
}

TEST_F(SupervisorTest, WorkerThatOnlyCrashesIsGivenUp) {
  start("crash");
  EXPECT_EQ(wait(), 1);
  std::string expected;
  for (size_t i = 0; i <= RestartPolicy::kCrashesMax; ++i) expected += "began\n";
  EXPECT_EQ(notes(), expected);
}

TEST_F(SupervisorTest, TerminationReachesTheWorker) {
  start("serve");
  const Deadline deadline = bound();
  while (notes().empty() && !deadline.passed(Clock::system().now())) ::poll(nullptr, 0, 5);
  ASSERT_EQ(notes(), "serving\n");
  ASSERT_EQ(kill_process(pid_, SIGTERM), 0);
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(notes(), "serving\nstopped\n");
}

TEST_F(SupervisorTest, MountOutlivesTwoWorkersWithItsStateAndDescriptors) {
  if (!make_mount_point()) GTEST_SKIP();
  start("hold");
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(notes(), "mounted 2\nadopted 2 first state\nadopted 2 second state\nunmounted\n");
  EXPECT_FALSE(fuse::find_mount(directory_ + "/mnt").value().has_value());
}

TEST_F(SupervisorTest, WhatAWorkerKeepsOfDescriptorsOutlivesIt) {
  if (!make_mount_point()) GTEST_SKIP();
  start("keep");
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(notes(), "73 of 74 kept\n73 of 74 kept\n");
}

TEST_F(SupervisorTest, WaitsForNoServiceManagerThatIsBusy) {
  if (!make_mount_point()) GTEST_SKIP();
  const NotifySocket manager;
  manager.make_busy();
  start("keep");
  EXPECT_EQ(wait(), 0) << "it would wait for each of what it has to tell";
  EXPECT_EQ(notes(), "73 of 74 kept\n73 of 74 kept\n");
}

TEST_F(SupervisorTest, WhatFindsNoRoomIsNotKeptAndCostsNobodyAnything) {
  if (!make_mount_point()) GTEST_SKIP();
  start("keep-few");
  EXPECT_EQ(wait(), 0) << "it serves on, and unmounts";
  const size_t kept = std::strtoul(notes().c_str(), nullptr, 10);
  EXPECT_TRUE(kept > 0 && kept < 12) << notes();
}

TEST_F(SupervisorTest, MountThatTheNextWorkerCannotServeIsAFailure) {
  if (!make_mount_point()) GTEST_SKIP();
  start("give-up");
  EXPECT_EQ(wait(), 1);
  EXPECT_EQ(notes(), "mounted 2\nadopted 2 first state\nunmounted\n");
  EXPECT_FALSE(fuse::find_mount(directory_ + "/mnt").value().has_value());
}

TEST_F(SupervisorTest, MountWhoseWorkerDiesBeforeItServesIsUndone) {
  if (!make_mount_point()) GTEST_SKIP();
  start("begin");
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(notes(), "mounted 2\n0 inherited\n");
  EXPECT_FALSE(fuse::find_mount(directory_ + "/mnt").value().has_value());
}

TEST_F(SupervisorTest, WhatIsGivenUpHasEndedThoughAWorkerWasLeftBehindWithItsDescriptors) {
  if (!make_mount_point()) GTEST_SKIP();
  expect_that_users_hear("left-give-up", 1);
}

TEST_F(SupervisorTest, WhatNoWorkerCanServeHasEndedThoughOneWasLeftBehindWithItsDescriptors) {
  if (!make_mount_point()) GTEST_SKIP();
  expect_that_users_hear("left-crash", 1);
}

TEST_F(SupervisorTest, WhatIsReleasedHasEndedThoughAWorkerWasLeftBehindWithItsDescriptors) {
  if (!make_mount_point()) GTEST_SKIP();
  expect_that_users_hear("left-release", 0);
}

TEST_F(SupervisorTest, WhatIsUndoneHasEndedThoughAWorkerWasLeftBehindWithItsDescriptors) {
  if (!make_mount_point()) GTEST_SKIP();
  expect_that_users_hear("left-unfinished", 0);
}

}  // namespace netfs::daemon

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "fake-worker") {
    return netfs::daemon::worker_main_of_test();
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
