#pragma once
// Worker: the process that does the work: answers the control socket, holds the mounts, and ends
// when the last of them has.
//
// The main thread only polls: supervisor, control socket, signals, and the connections of attached
// users, whose end unmounts.  Each control connection is served on a pool of its own, so that one
// mount that waits for a dead host does not keep `netfs status` waiting.
//
//   Worker worker(link, std::move(listener), inheritance);
//   return worker.run();

#include <atomic>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "base/unique_function.h"
#include "daemon/control_message.h"
#include "daemon/hurry.h"
#include "daemon/lock_classes.h"
#include "daemon/mounts.h"
#include "daemon/shared_store.h"
#include "daemon/supervisor_link.h"
#include "sync/mutex.h"
#include "sync/work_queue.h"

namespace netfs::daemon {

class Worker {
 public:
  Worker(SupervisorLink& link, UniqueFd listener, const Inheritance& inheritance,
         SharedStore::Options store);
  // Takes over what is inherited, and serves until the end; the exit code.
  int run(std::vector<Adopted> mounts);

 private:
  static constexpr const char* kRoom = "worker";

  void poll_once();
  void accept_all();
  void serve(UniqueFd socket);
  Response dispatch(const Request& request, uint64_t& mounted_id);
  Response mount(const Request& request, uint64_t& mounted_id);
  Response status(const Request& request);
  Response drop(const Request& request);
  Response sync(const Request& request);
  Response limit(const Request& request);
  [[nodiscard]] nlohmann::json owner_status();
  void attach(uint64_t id, UniqueFd socket) EXCLUDES(mutex_);
  // Main thread only.
  void settle_attached() EXCLUDES(mutex_);
  void do_later(UniqueFunction<void()> work);
  void stop();
  [[nodiscard]] bool is_left() const;
  void drain();
  void wake();
  void end_hurry();
  [[nodiscard]] bool may_end() const;
  int end();

  SupervisorLink& link_;
  UniqueFd listener_;
  const uint64_t workers_before_;
  const MonoTime since_ = Clock::system().now();
  Hurry hurry_;           // before there are threads
  unsigned hurries_ = 2;  // times that it is to be ended
  MonoTime hurry_until_ = MonoTime::max();
  UniqueFd signals_;
  UniqueFd wake_;
  SharedStore store_;
  Mounts mounts_;
  bool stopping_ = false;
  std::atomic<bool> orphaned_{false};  // the supervisor is gone
  std::atomic<unsigned> busy_{0};
  std::atomic<bool> used_{false};
  // Users that stay connected; the end of the connection ends the mount, and the other way round.
  struct Attached {
    UniqueFd socket;
    bool leaving = false;  // its end has come; it waits to hear of the mount's
  };
  std::map<uint64_t, Attached> attached_;
  sync::Mutex mutex_{kWorkerLock};
  std::vector<std::pair<uint64_t, UniqueFd>> arriving_ GUARDED_BY(mutex_);
  std::unique_ptr<sync::WorkQueue> control_;  // last: their work uses all of the above
  std::unique_ptr<sync::WorkQueue> stoppers_;
};

// The whole worker process, from the descriptors that worker_process.h promises to its end.
int worker_main();

}  // namespace netfs::daemon
