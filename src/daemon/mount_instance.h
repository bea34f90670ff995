#pragma once
// MountInstance: one mount put together: origin, perhaps a simulated link, a limit on its
// bandwidth, cache volume, library, file system, kernel session.
//
// Life: prepare() opens the origin and finds that its root is a directory; nothing is mounted yet.
// serve() takes the descriptors of the mounted connection and returns when the kernel's INIT is
// settled.  wait_ended() returns when it was unmounted.  close() takes everything down in order,
// bounded by its deadline and the origin's timeout; idempotent.  When close() answers false,
// something did not come back (a disk, a server): the instance must not be destroyed then, and the
// process ends by _exit().
//
// Thread-safe; held by Ref, since `status` may look at one that ends.  The store outlives it.
//
// Errors of prepare(): what Url, open_origin() and FileSystem::create() say.

#include <atomic>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/back_writes.h"
#include "daemon/kept_descriptors.h"
#include "daemon/left_behind.h"
#include "daemon/mount_state.h"
#include "daemon/options.h"
#include "daemon/shared_store.h"
#include "daemon/writing_mark.h"
#include "fuse/backing.h"
#include "fuse/channel.h"
#include "fuse/mount.h"
#include "fuse/notifier.h"
#include "fuse/session.h"
#include "netfs/late_origin.h"
#include "netfs/library.h"
#include "netfs/limited_origin.h"
#include "netfs/names_store.h"
#include "netfs/origin.h"
#include "vfs/file_system.h"

namespace netfs::daemon {

class MountInstance : public RefCounted<MountInstance> {
 public:
  struct Spec {
    std::string url;          // as the user gave it
    std::string mount_point;  // absolute
    MountOptions options;
    OptionMap words;  // which these came of
  };

  // What outlives a worker, or null: of a mount that is taken over what the worker before has left;
  // and its descriptors.
  struct Left {
    Ref<vfs::ArenaMemory> memory;
    bool memory_is_lost;  // it could not be taken over
    // Then the origin need not be there: it is waited for by who needs it.
    std::optional<KnownOrigin> origin;
    Ref<KeptDescriptors> descriptors;
  };
  // `origin` outlives the instance; when it is null, one is opened by the URL.
  static Result<Ref<MountInstance>> prepare(Spec spec, SharedStore& store, Origin* origin = nullptr,
                                            Left left = {});
  ~MountInstance();

  // How it is to be mounted.
  [[nodiscard]] fuse::MountOptions kernel_mount() const;

  // `before`: what was negotiated on this connection by an earlier worker.
  Result<void> serve(std::vector<UniqueFd> fds, const std::optional<fuse::Negotiated>& before,
                     Deadline deadline);
  bool wait_ended(Deadline deadline);
  // Reads no more requests, so that wait_ended() returns; those in flight are answered or ended.
  void stop_serving();
  // For another process to go on with it: no more requests are read; then those that were are
  // waited for, and nothing is taken down.
  void read_no_more();
  void wait_answered(Deadline deadline) const;
  bool close(Deadline deadline);
  // When close() has returned: what of all that was written is not at the origin.
  [[nodiscard]] const LeftBehind& left_behind() const { return left_; }

  [[nodiscard]] const Spec& spec() const { return spec_; }
  // What the next worker has to know to serve on.
  [[nodiscard]] MountState state() const;
  [[nodiscard]] int arena() const { return file_system_->memory().fd(); }
  [[nodiscard]] const std::string& volume_key() const { return volume_key_; }
  // The path at the origin of a path below the mount point; nullopt: not below.
  [[nodiscard]] std::optional<std::string> origin_path(const std::string& path) const;

  // The cache that it had to do without may be there now.  For one that only reads; waits for the
  // disk.
  void use_late_cache();

  // Believes nothing of a path at the origin ("" is the root) and of what is below it.
  void drop(const std::string& path);

  // Counts at once; until it is set again.
  void limit(const Bandwidth& bandwidth) {
    if (!closed_) limited_->limit(bandwidth);
  }
  [[nodiscard]] Bandwidth limit() const { return limited_->limit(); }

  // Waits until the origin has all that was written here before; false at the deadline.  `upto`: 0,
  // or what the call before left in it: what comes after that call is not waited for.
  bool sync(uint64_t& upto, Deadline deadline);
  // What came to the origin otherwise than it was done here, a sentence each; told once.
  std::vector<std::string> take_troubles();
  // Why the upload does not go on; empty: it does, or there is none.
  [[nodiscard]] std::string why_it_waits() const;

  // One element of "mounts" in `netfs status --json`.
  [[nodiscard]] nlohmann::json status() const;

 private:
  MountInstance(Spec spec, SharedStore& store) : spec_(std::move(spec)), store_(store) {}
  Result<void> open_parts(Origin* origin, Left left);
  Result<Origin*> reach_origin(std::optional<KnownOrigin> known);
  Result<Origin*> with_journal(Origin& origin, std::optional<Owner> owner);
  Result<void> mark_writing();
  Result<void> drop_names();
  void drop_names_later();
  void went_elsewhere(const std::string& path, const std::string& beside);
  void upload_what_waits(Deadline deadline);
  void take_stock();
  [[nodiscard]] uint64_t write_behind_bytes() const;
  [[nodiscard]] fuse::SessionOptions session_options() const;
  Result<void> open_channel(std::vector<UniqueFd> fds, fuse::SessionOptions& options);
  void raise_readahead() const;
  void warn_of_transport() const;

  const Spec spec_;
  SharedStore& store_;
  std::string volume_key_;
  std::atomic<cachefiles::CacheFiles*> cache_{nullptr};  // null: none, or none yet
  std::atomic<bool> takes_cache_{false};                 // one that comes late
  const MonoTime since_ = Clock::system().now();

  // In the order in which they are built; taken down backwards.
  std::unique_ptr<Origin> opened_;          // by us; null where the origin was given
  LateOrigin* late_ = nullptr;              // that one, where it may be away
  std::optional<KnownOrigin> known_;        // of it
  std::unique_ptr<Origin> link_;            // the simulated one, in front of the real one
  std::unique_ptr<LimitedOrigin> limited_;  // in front of that
  std::unique_ptr<BackWrites> back_;        // in front of all
  Origin* origin_ = nullptr;                // what the library sees
  std::optional<WritingMark> mark_;         // where what is stored may be taken for another file
  bool changes_names_ = false;              // of which the cache may have some
  std::unique_ptr<Library> library_;
  std::optional<NamesStore> names_;  // where names are kept in the cache
  Ref<KeptDescriptors> descriptors_;
  std::unique_ptr<vfs::FileSystem> file_system_;
  std::unique_ptr<fuse::KernelChannel> channel_;
  std::unique_ptr<fuse::BackingIds> backing_;
  std::unique_ptr<fuse::Notifier> notifier_;
  std::unique_ptr<fuse::Session> session_;
  std::atomic<bool> serving_{false};  // set once all of the above stand
  std::atomic<bool> closed_{false};
  LeftBehind left_;  // set by close()
};

// Whether this process may let the kernel read files by itself.
bool may_pass_through();

}  // namespace netfs::daemon
