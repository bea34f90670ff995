#pragma once
// without_worker(): kills the worker of a mount, and no other is started before the end of what is
// done then: its supervisor is stopped meanwhile, and goes on in any case.

#include <csignal>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {

// As /proc tells it of a process, or of one of its threads by the path of its folder there: 'S'
// sleeps, 'T' is stopped, 'D' cannot be killed, 'Z' is dead and not reaped; 0: there is none.
inline char state_in(const std::string& folder) {
  const std::string stat = read_text(folder + "/stat");
  const size_t at = stat.rfind(") ");
  return at == std::string::npos ? '\0' : stat[at + 2];
}

inline char state_of(pid_t pid) {
  return state_in("/proc/" + std::to_string(pid));
}

// With its last thread its descriptors are closed.
inline bool has_ended(pid_t pid) {
  const Result<std::vector<std::string>> threads =
      list_names("/proc/" + std::to_string(pid) + "/task");
  const char state = state_of(pid);
  return state == '\0' || (state == 'Z' && threads.ok() && threads.value().size() <= 1);
}

// A process that does nothing until the end of this.
class Stopped {
 public:
  explicit Stopped(pid_t pid) : pid_(pid) {
    // Asleep: what it was told before is done.  A descriptor that is on its way to it when it stops
    // would hold its lock, kept or not.
    is_ = wait_until([&] { return state_of(pid_) == 'S'; }, std::chrono::seconds(60)) &&
          kill_process(pid_, SIGSTOP) == 0 &&
          wait_until([&] { return state_of(pid_) == 'T'; }, std::chrono::seconds(60));
  }
  ~Stopped() { kill_process(pid_, SIGCONT); }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;

  [[nodiscard]] bool is() const { return is_ && state_of(pid_) == 'T'; }

 private:
  const pid_t pid_;
  bool is_ = false;
};

template <class Work>
void without_worker(const NetfsMount& mount, const Work& work) {
  const pid_t worker = mount.worker();
  ASSERT_GT(worker, 0);
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, worker, 0)));
  ASSERT_TRUE(process);
  {
    const Stopped supervisor(mount.supervisor());
    ASSERT_TRUE(supervisor.is());
    ASSERT_EQ(kill_process(worker, SIGKILL), 0);
    // Dead with all its threads, and so are its descriptors; nobody reaps it.
    pollfd dead{.fd = process.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&dead, 1, 60'000), 1);
    work();
    EXPECT_TRUE(supervisor.is());
    EXPECT_EQ(state_of(worker), 'Z');
  }
  ASSERT_TRUE(wait_until([&] { return mount.worker() > 0 && mount.worker() != worker; },
                         std::chrono::seconds(60)));
}

}  // namespace netfs::test
