#pragma once
// FileSystem: a mounted tree: answers the kernel's requests from what it knows, from the library
// and from the origin.
//
// handle() never blocks: what memory cannot answer goes to a pool of metadata workers, and equal
// calls of the origin that are under way are joined, not repeated.  Which file answers what:
// dispatch.cc.
//
// Origin, library, notifier and backing ids outlive it, and it outlives the session.  Thread-safe.
//
//   auto fs = TRY(FileSystem::create({.origin = *origin, .library = *library, .options =
//   options})); auto session = TRY(fuse::Session::create(*channel, *fs, session_options, clock));
//   fs->attach(&backing_ids);            // before start()
//   session->start();
//   ...
//   session->stop(...);  fs->stop();

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fuse/backing.h"
#include "fuse/encode.h"
#include "fuse/session.h"
#include "netfs/library.h"
#include "netfs/origin.h"
#include "sync/work_queue.h"
#include "vfs/flights.h"
#include "vfs/inode_table.h"
#include "vfs/options.h"
#include "vfs/pending.h"

namespace netfs::vfs {

class FileSystem final : public fuse::Handler {
 public:
  struct Parts {
    Origin& origin;
    Library& library;
    Options options;
    const Clock& clock = Clock::system();
  };

  // Looks at the root; its error is the mount's: ENOTDIR, ENOENT, EACCES, or that of the way there.
  static Result<std::unique_ptr<FileSystem>> create(Parts parts);
  ~FileSystem() override;

  // Where files are handed to the kernel by; null: nowhere.  Before the session starts.
  void attach(fuse::BackingIds* backing) { backing_ = backing; }

  void started(const fuse::Negotiated& negotiated) override;
  void handle(const fuse::Request& request, fuse::Reply reply) override;
  void interrupt(uint64_t unique) override { pending_.interrupt(unique); }

  // Answers what still waits and ends the workers.  Bounded by the origin's timeout.
  void stop();

  [[nodiscard]] const Counters& counters() const { return counters_; }
  struct Sizes {
    size_t nodes = 0;
    size_t handles = 0;
    size_t waiting = 0;
    uint64_t ino_collisions = 0;
  };
  [[nodiscard]] Sizes sizes();
  // The last names refused from the origin, escaped for a terminal.
  [[nodiscard]] std::vector<std::string> refused_names() const;

 private:
  friend struct Dispatch;

  explicit FileSystem(Parts parts, const NodeInfo& root);

  // One a family of operations; see the file of the same name.
  void lookup(const fuse::Request& request, fuse::Reply reply);              // lookup.cc
  void forget(const fuse::Request& request, fuse::Reply reply);              // forget.cc
  void get_attributes(const fuse::Request& request, fuse::Reply reply);      // attributes.cc
  void get_statx(const fuse::Request& request, fuse::Reply reply);           // attributes.cc
  void open(const fuse::Request& request, fuse::Reply reply);                // open.cc
  void release(const fuse::Request& request, fuse::Reply reply);             // release.cc
  void read(const fuse::Request& request, fuse::Reply reply);                // read.cc
  void open_directory(const fuse::Request& request, fuse::Reply reply);      // read_directory.cc
  void read_directory(const fuse::Request& request, fuse::Reply reply);      // read_directory.cc
  void release_directory(const fuse::Request& request, fuse::Reply reply);   // release.cc
  void read_link(const fuse::Request& request, fuse::Reply reply);           // links.cc
  void stat_file_system(const fuse::Request& request, fuse::Reply reply);    // stat_file_system.cc
  void answer_ok(const fuse::Request& request, fuse::Reply reply);           // refused.cc
  void refuse_modifying(const fuse::Request& request, fuse::Reply reply);    // refused.cc
  void refuse_unsupported(const fuse::Request& request, fuse::Reply reply);  // refused.cc
  void refuse_ioctl(const fuse::Request& request, fuse::Reply reply);        // refused.cc

  // attributes.cc
  [[nodiscard]] fuse::Attr attr_of(const Node& node) REQUIRES(table_.mutex);
  [[nodiscard]] Duration validity_of(const Node& node) REQUIRES(table_.mutex);
  template <class Out>
  void attributes(const fuse::Request& request, fuse::Reply reply);
  [[nodiscard]] bool is_fresh(MonoTime seen, Duration ttl) const;
  [[nodiscard]] bool is_fresh(const Node& node) const REQUIRES(table_.mutex);
  [[nodiscard]] static bool is_current(const Node& node) {
    return node.listed || node.parent == nullptr;
  }

  // refresh.cc: one look at the origin, joined by all who want the same; then() runs on a worker,
  // after the table knows what was seen, with what the look itself came to.
  using Then = UniqueFunction<void(const Result<void>&)>;
  void refresh_name(fuse::NodeId parent, std::string name, std::string path, Then then);
  void refresh_node(fuse::NodeId node, Then then);
  void refresh_listing(fuse::NodeId directory, Then then);
  void stat_now(fuse::NodeId parent, const std::string& name, const std::string& path);
  void list_now(fuse::NodeId directory, const std::string& path);
  Result<void> take_stat(fuse::NodeId parent, const std::string& name, Result<NodeInfo> info);
  Result<void> take_listing(fuse::NodeId directory, const std::string& path);
  [[nodiscard]] bool should_wait(const Result<void>& outcome) const;
  [[nodiscard]] bool serve_stale(fuse::NodeId parent, const std::string& name);

  // names.cc
  bool name_is_allowed(std::string_view directory, std::string_view name);

  // lookup.cc
  void answer_entry(fuse::NodeId parent, std::string_view name, const Result<void>& seen,
                    Pending& pending);
  [[nodiscard]] fuse::Entry entry_of(Node& node) REQUIRES(table_.mutex);

  // open.cc
  struct OpenAnswer {
    int error = 0;
    bool later = false;  // a worker must prepare it
    fuse::Opened opened;
  };
  OpenAnswer try_open(fuse::NodeId id);
  OpenAnswer open_locked(Node& node) REQUIRES(table_.mutex);
  [[nodiscard]] bool may_hand_out(Node& node, bool count) REQUIRES(table_.mutex);
  void prepare_open(fuse::NodeId id, Ref<Pending> pending);
  void prepare_on_worker(fuse::NodeId id);
  Result<void> prepare_file(fuse::NodeId id);
  void answer_open(fuse::NodeId id, Pending& pending);

  // release.cc
  void close_handle(fuse::HandleId id);

  // read.cc
  void read_file(const Ref<File>& file, ReadStream* stream, ByteRange range, fuse::Reply reply);

  // read_directory.cc
  void answer_open_directory(fuse::NodeId id, const Result<void>& seen, Pending& pending);
  std::span<const std::byte> pack_entries(fuse::NodeId id, const Listing& listing,
                                          const fuse::ReaddirRequest& wanted,
                                          std::span<std::byte> room);

  [[nodiscard]] Deadline deadline() const { return Deadline::after(clock_, options_.timeout); }
  // Runs on a metadata worker; when they have ended, not at all: what waits is answered by stop().
  void on_worker(sync::WorkQueue::Work work);
  void bury(Graveyard graveyard);

  Origin& origin_;
  Library& library_;
  const Options options_;
  const Clock& clock_;
  fuse::BackingIds* backing_ = nullptr;
  std::atomic<bool> passthrough_{false};  // settled by started(); the kernel may still refuse
  Counters counters_;
  InodeTable table_;
  PendingTable pending_;
  Flights<Then> stats_flights_;
  Flights<Then> list_flights_;
  Flights<Ref<Pending>> open_flights_;
  Flights<Ref<Pending>> statfs_flights_;
  sync::Mutex statfs_mutex_{kFileSystemStatsLock};
  FileSystemStats statfs_ GUARDED_BY(statfs_mutex_);
  MonoTime statfs_at_ GUARDED_BY(statfs_mutex_) = MonoTime::min();
  mutable sync::Mutex refused_mutex_{kRefusedNamesLock};
  std::vector<std::string> refused_names_ GUARDED_BY(refused_mutex_);
  std::atomic<uint64_t> next_listing_{1};
  std::atomic<bool> stopping_{false};
  sync::WorkQueue metadata_;  // last: its threads use all of the above
};

}  // namespace netfs::vfs
