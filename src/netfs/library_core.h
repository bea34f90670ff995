#pragma once
// LibraryCore: what all files of one library share: its surroundings, counters, live requests,
// memory and worker threads.
//
// Held by the library and by every file, so that a subrequest which its origin terminates after the
// library was closed still finds everything it touches.  Its threads end with Library::close().
//
// Four queues, so that none waits for another: `timers` never blocks (timeouts, back-offs),
// `waiting` blocks on the origin (open, stat) for who waits, `opening` on opens for nobody yet and
// on confirmations that nobody waits for, `readers` on the cache's disk.

#include <atomic>
#include <list>
#include <map>
#include <string>
#include <unordered_map>

#include "base/ref.h"
#include "netfs/block_memory.h"
#include "netfs/dirty_files.h"
#include "netfs/library.h"
#include "netfs/library_stats.h"
#include "netfs/link_estimate.h"
#include "netfs/lock_classes.h"
#include "netfs/reads_ahead.h"
#include "netfs/request_list.h"
#include "netfs/upload_window.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/work_queue.h"

namespace netfs {

class Offload;
class RemoteFile;

class LibraryCore : public RefCounted<LibraryCore> {
 public:
  explicit LibraryCore(Library::Options with);

  const Library::Options options;
  const OriginCapabilities capabilities;
  LibraryStats stats;
  LinkEstimate link;
  ReadsAhead ahead;
  UploadWindow window;
  DirtyFiles dirty;
  RequestList requests;
  BlockMemory memory;
  std::atomic<uint64_t> next_request_id{1};
  std::atomic<bool> closing{false};
  sync::WorkQueue timers;
  sync::WorkQueue waiting;
  sync::WorkQueue opening;
  sync::WorkQueue readers;

  // Null without a cache; it may come late, and does not go.
  [[nodiscard]] Volume* volume() const { return volume_.load(std::memory_order_acquire); }
  // Of what has a cookie, or once there is a volume.
  [[nodiscard]] Offload& offload() const { return *offload_; }
  void use_cache(Ref<Volume> volume, Offload& offload);

  [[nodiscard]] MonoTime now() const { return options.clock.now(); }
  [[nodiscard]] Deadline deadline() const {
    return Deadline::after(options.clock, options.timeout);
  }

  // Lets blocks go until `bytes` more fit the budget; false when they still do not.  Not under a
  // lock.
  bool make_room(size_t bytes);
  // Lets go of some blocks that nobody needs in memory any more.  Not under a lock.
  void drop_idle_blocks();

  // Begins the reads ahead that have their turn now.  Not under a lock.
  void pump_ahead();

  // Lists a request and starts the timer that times it out; false when the library is closed.
  bool list(Request& request);
  // Ends every live request with ECANCELED, now and in future.
  void cancel_requests();

  void subrequest_opened();
  void subrequest_closed() EXCLUDES(mutex_);
  // Waits until no subrequest is open; false at the deadline.
  bool wait_for_subrequests(Deadline deadline) EXCLUDES(mutex_);

  // The open file of that key, or a new one made by `make`.
  [[nodiscard]] Ref<RemoteFile> find_file(const std::string& key) EXCLUDES(mutex_);
  // Enters it; returns the one that another thread entered meanwhile, if so.
  Ref<RemoteFile> enter_file(const std::string& key, Ref<RemoteFile> file) EXCLUDES(mutex_);
  void forget_file(const std::string& key, const RemoteFile* file) EXCLUDES(mutex_);

  // A path, and with kTree what is beneath it, names other files from now on: the cache forgets
  // what it has of it in any version.  Nothing where no two files can be mistaken for each other,
  // or nothing is cached.  Not under a lock.
  void forget_stored(const std::string& path, ForgetScope scope) EXCLUDES(mutex_);
  // Whether the cache has not yet done so.
  [[nodiscard]] bool is_being_forgotten(const std::string& path) EXCLUDES(mutex_);

  // A file has opened its handle at the origin; those longest open and idle are closed when there
  // are too many, for servers bound their number.  Not under a lock.
  void handle_opened(RemoteFile& file) EXCLUDES(mutex_);
  void forget_handle(RemoteFile* file) EXCLUDES(mutex_);

 private:
  static void time_out_requests(const Ref<LibraryCore>& core);
  void arm_timer(MonoTime at);
  void forgotten(const std::string& path) EXCLUDES(mutex_);

  // Written once, before `volume_`.
  Ref<Volume> held_volume_;
  Offload* offload_ = nullptr;
  std::atomic<Volume*> volume_{nullptr};

  // Whether a path can come to name another file with the validator of the one before.
  const bool paths_are_reused_;
  std::atomic<size_t> forgetting_count_{0};

  sync::Mutex mutex_{kFileTableLock};
  std::map<std::string, unsigned> forgetting_ GUARDED_BY(mutex_);  // paths: how many times
  sync::CondVar no_subrequest_;
  // Not counted references: a file takes itself out when its last one goes.
  std::unordered_map<std::string, RemoteFile*> files_ GUARDED_BY(mutex_);
  std::list<RemoteFile*> handles_ GUARDED_BY(mutex_);  // files that have one, longest first
};

}  // namespace netfs
