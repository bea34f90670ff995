#pragma once
// Supervisor: the small process that must not die, so that the one that does the work may.
//
// It does what needs privilege or must outlive the worker, and nothing else: it mounts and unmounts
// (in children of its own), holds the descriptors of every connection, starts the worker, and
// starts it again when it dies, handing it the mounts with what it had said of them.  It ends when
// the worker has ended well and no mount is left, nor its own client, which may be about to ask a
// worker for one after another was killed.  When the worker dies again and again it gives up aloud:
// the connections are ended, so users get errors and do not hang.
//
// One thread, and no thread may exist in the process.  It blocks SIGTERM, SIGINT and SIGCHLD and
// reads them from a signalfd; SIGTERM asks the worker to unmount everything.
//
//   Supervisor supervisor({.listener = ..., .settings = ..., .command = {"/proc/self/exe",
//   "worker"}}); return supervisor.run();

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "daemon/child_operation.h"
#include "daemon/control_message.h"
#include "daemon/descriptor_store.h"
#include "daemon/program_probe.h"
#include "daemon/restart_policy.h"
#include "daemon/supervisor_message.h"
#include "daemon/supervisor_state.h"

namespace netfs::daemon {

class Supervisor {
 public:
  struct Options {
    UniqueFd listener;                 // the control socket; the worker accepts on it
    std::string settings;              // for every worker, not looked into
    std::vector<std::string> command;  // the worker's program and arguments
    // A child that asks for the first mount; in front, where this process is what the user sees.
    // Its failure is ours, and its success is told to systemd.  -1: none.
    pid_t client = -1;
    Duration operation_timeout = std::chrono::seconds(30);
    // Time for an unmount that does not end to be given up, and for what follows it.
    Duration stop_timeout = std::chrono::seconds(75);
    Belongings belongings{};
    // Of the program that this process was before: it goes on with that.
    std::optional<SupervisorState> left{};
    // Of a supervisor of this service that has died: its mounts are served on.
    std::optional<StoredMounts> stored{};
    DescriptorStore store{};
  };

  explicit Supervisor(Options options);
  // 0 when everything ended well.
  int run();

 private:
  using Held = HeldMount;
  // supervisor_upgrade.cc has its life.
  struct Upgrade {
    enum class Phase { kProbing, kDraining, kStarting, kTrial };
    Phase phase;
    std::string path;
    UniqueFd client;  // who asked, and waits to be told
    ProgramProbe probe;
    UniqueFd program;
    std::string version;  // of it
    std::vector<std::string> command_before;
    MonoTime deadline;  // of the phase
  };

  [[nodiscard]] bool start();
  [[nodiscard]] bool hand_over();
  void serve_worker();
  void carry_out(WorkerMessage message, std::vector<UniqueFd> fds);
  void keep_descriptor(Held& held, uint64_t key, std::vector<UniqueFd> fds);
  void operation_ended(size_t index, Packet answer);
  void answer(uint64_t id, int code, const std::string& text, const std::vector<int>& fds);
  void read_signals();
  void reap();
  void client_ended(int wait_status);
  void worker_died(int wait_status);
  [[nodiscard]] bool may_be_asked() const;
  void give_up(const std::string& why);
  void end_connection(const Held& held) const;
  void drop_unfinished();
  void undo_mount(const std::string& mount_point, fuse::UnmountMode mode);
  void end_rings();
  void unmount_held();
  void begin_stop();
  void check_worker();
  void abandon_worker(std::string_view where);
  void check_deadlines();
  [[nodiscard]] bool settled() const;
  [[nodiscard]] int next_wait_ms() const;
  void wait_once();
  void shout(const std::string& line) const;
  void clean_up() const;

  void begin_upgrade(const std::string& path, std::vector<UniqueFd> fds);
  void cancel_upgrade(const Error& why);
  void refuse_upgrade(int client, const std::string& path, const Error& why);
  void answer_upgrade(int client, const Response& response);
  [[nodiscard]] Result<std::vector<std::string>> schemes_held() const;
  void reap_probe();
  void start_upgraded();
  bool died_in_upgrade(const std::string& how);
  void fall_back(const std::string& why);
  [[nodiscard]] bool may_give_up_mounts() const;
  void look_at_upgrade();
  void check_upgrade(MonoTime now);
  void finish_upgrade();
  void become_next();
  void take_on(SupervisorState state);
  void keep_stored();

  Options options_;
  UniqueFd signals_;
  UniqueFd worker_socket_;
  pid_t worker_pid_ = -1;
  uint64_t workers_started_ = 0;
  RestartPolicy policy_;
  MonoTime restart_at_ = MonoTime::max();
  MonoTime kill_at_ = MonoTime::max();  // of a worker that does not stop
  size_t descriptors_max_ = 0;          // to be kept for workers
  bool no_room_told_ = false;           // for more of them
  // What the service manager was too busy to be told is tried again.
  static constexpr Duration kStoreAgainFirst = std::chrono::milliseconds(5);
  static constexpr Duration kStoreAgainMax = std::chrono::milliseconds(250);
  MonoTime store_again_at_ = MonoTime::max();
  Duration store_pause_ = kStoreAgainFirst;
  bool stopping_ = false;
  bool ended_ = false;
  int exit_code_ = 0;
  std::map<uint64_t, Held> held_;
  std::vector<ChildOperation> operations_;
  static constexpr Duration kBetweenLooks = std::chrono::seconds(1);
  static constexpr Duration kFirstLook =
      std::chrono::milliseconds(20);    // once its socket has ended
  MonoTime look_at_ = MonoTime::max();  // for a worker that was killed and does not end
  unsigned kept_looks_ = 0;             // that found it killed, and kept by its cache
  std::vector<pid_t> abandoned_;        // killed, and in a wait that even that does not end
  std::optional<Upgrade> upgrade_;
  UniqueFd next_self_;     // the program that this process is to become
  UniqueFd kept_program_;  // that it did not become, and whose workers it starts
  std::string worker_version_;
};

// What `netfs supervise N` does: a supervisor that was another netfs before goes on, with what that
// left in descriptor N (supervisor_state.h).  The exit code.
int supervisor_main(int state_fd);

}  // namespace netfs::daemon
