#pragma once
// LateOrigin: an origin that cannot be reached yet, for a mount that a process before this one has
// left: the mount is served at once, by what is known of the origin, and the origin comes later.
//
// It is opened by a thread of its own, again and again (100 ms to 5 s apart) until it is there;
// from then on all calls go to it.  Until then a call waits, but no longer than its deadline, and
// not at all once the origin has been away for `patience`: ENOTCONN with what the last attempt
// said.  What comes back has to be what is known: of another tree, with another root or fewer
// abilities, nothing is shown or changed; to callers the origin is away until the right one is
// back.
//
// Thread-safe.  The destructor waits for an attempt that is under way, and is called when no call
// runs, no subrequest is open and no file.
//
//   auto late = LateOrigin::create({.known = known, .open = [] { return open_origin(request); }});

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "netfs/lock_classes.h"
#include "netfs/origin.h"
#include "netfs/origin_writer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs {

// What a process has to know of an origin to serve what it cannot reach.
struct KnownOrigin {
  std::string volume_key;
  std::string root_identity;  // empty where paths are the identity
  OriginCapabilities capabilities;
  std::optional<WriteCapabilities> writes;  // absent: it cannot be changed
  bool locks = false;                       // whether it has some of its own
  // What the mount is called at it, by all the processes that serve it; empty: it has no name.
  std::string mount_id;
};

// Of one that is there; asks for its root where that has an identity.
Result<KnownOrigin> describe(Origin& origin, Deadline deadline);

class LateLocks;
class LateWriter;

class LateOrigin final : public Origin {
 public:
  using Open = std::function<Result<std::unique_ptr<Origin>>()>;
  struct Options {
    KnownOrigin known;
    Open open;                                     // may block; on a thread of this object's
    Duration patience = std::chrono::seconds(30);  // of calls, from the beginning
    Duration timeout = std::chrono::seconds(30);   // of the look at its root
    bool is_written = true;                        // else it does not matter whether it can be
    // The first attempt is waited for: one that comes in time may have other abilities than before.
    Duration first_wait = std::chrono::seconds(1);
  };

  static std::unique_ptr<LateOrigin> create(Options options);
  ~LateOrigin() override;

  // Whether it has been reached; it stays so.
  [[nodiscard]] bool is_there() const { return there_.load() != nullptr; }
  [[nodiscard]] const KnownOrigin& known() const { return known_; }
  // It is tried no more; who waits for it is answered ECANCELED.  Waits for the attempt under way.
  void stop() EXCLUDES(mutex_);

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return known_.capabilities;
  }
  [[nodiscard]] unsigned listings_ahead() const override {
    const Origin* const there = there_.load();
    return there != nullptr ? there->listings_ahead() : known_.capabilities.listings_ahead;
  }
  [[nodiscard]] std::string volume_key() const override { return known_.volume_key; }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  std::unique_ptr<OriginFile> open_by_read(const std::string& path) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override;
  [[nodiscard]] OriginLocks* locks() override;
  [[nodiscard]] StatusFields status() const override EXCLUDES(mutex_);

 private:
  friend class LateLocks;
  friend class LateWriter;

  explicit LateOrigin(Options options);
  // The origin, once it is there.
  Result<Origin*> reach(Deadline deadline) EXCLUDES(mutex_);
  void run() EXCLUDES(mutex_);
  void attempt() EXCLUDES(mutex_);
  // Why it is not what is known; empty: it is.
  [[nodiscard]] std::string other_than_known(const KnownOrigin& found) const REQUIRES(mutex_);
  void settle(MonoTime until) EXCLUDES(mutex_);

  const Options options_;
  const MonoTime since_ = Clock::system().now();
  KnownOrigin known_;  // constant once create() has returned
  std::unique_ptr<LateWriter> writer_;
  std::unique_ptr<LateLocks> locks_;
  std::atomic<Origin*> there_{nullptr};
  mutable sync::Mutex mutex_{kLateOriginLock};
  sync::CondVar changed_;
  std::unique_ptr<Origin> origin_ GUARDED_BY(mutex_);
  bool settled_ GUARDED_BY(mutex_) = false;  // what is known counts from now on
  bool stopping_ GUARDED_BY(mutex_) = false;
  unsigned attempts_ GUARDED_BY(mutex_) = 0;
  std::string last_error_ GUARDED_BY(mutex_);
  bool is_another_ GUARDED_BY(mutex_) = false;  // what the last attempt has found
  sync::Thread thread_;
};

}  // namespace netfs
