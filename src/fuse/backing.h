#pragma once
// BackingIds: which file the kernel reads by itself for an inode (passthrough), registered once.
//
// Facts about the kernel (6.9 and later):
// * While an inode is open in passthrough, opening it with another backing id, even one of the same
//   file, fails, and so does a cached open; both reach the user as EIO.  So all opens of a node use
//   one id, from the first open to the last release, and a node is either handed out or not.
// * A new version of a file is a new node: OPEN answers ESTALE, the kernel looks the name up again,
//   gets the new nodeid with the same st_ino, and opens that.
// * The id keeps the file open in the kernel: our descriptor may be closed.  BACKING_CLOSE while it
// is
//   in use frees the id only; opens and mappings keep the file.
// * RELEASE is not the last use: a mapping keeps reading, and storing into, the file after it.
// * The backing file system's stack depth must be below the negotiated max_stack_depth, and the
//   caller needs CAP_SYS_ADMIN: EPERM.  A file on FUSE itself is refused: ELOOP or EOPNOTSUPP.
//
// An id whose node is not open any more is kept for a while, since registering costs 6 us and a
// remembered one nothing; the least recently used goes first.  Thread-safe; the two ioctls run
// outside its lock.
//
//   const int32_t id = TRY(backing.acquire(node, fd));    // for each open
//   reply.value(open_out({.handle = h, .no_flush = true, .backing_id = id}));
//   ...
//   backing.release(node);                                // for each RELEASE

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "fuse/channel.h"
#include "fuse/lock_classes.h"
#include "fuse/wire.h"
#include "sync/mutex.h"
#include "telemetry/counter.h"

namespace netfs::fuse {

class BackingIds {
 public:
  // As many as vfs keeps files ready; each pins an open file in the kernel, about 2 KB.  A walk
  // over more files than this registers each anew.
  static constexpr size_t kIdleMax = 16'384;

  explicit BackingIds(KernelChannel& channel, size_t idle_max = kIdleMax);

  // An id that a process before this one registered, and how many opens use it.
  struct Known {
    NodeId node;
    int32_t id = 0;
    uint32_t opens = 0;
  };
  // Hears of each id that the kernel gives and gets back, from any thread, not under a lock.
  class Log : public RefCounted<Log> {
   public:
    virtual ~Log() = default;
    virtual void opened(int32_t id) = 0;
    virtual void closed(int32_t id) = 0;
  };
  // Before anything else: takes `known` over, and closes those of `others` that are not among them.
  void adopt(Ref<Log> log, const std::vector<Known>& known, const std::vector<int32_t>& others)
      EXCLUDES(mutex_);
  // Closes every id.
  ~BackingIds();
  BackingIds(const BackingIds&) = delete;
  BackingIds& operator=(const BackingIds&) = delete;

  // One more open of `node`: the id it has, else a new one for `fd`, which stays the caller's.
  // Errors are the channel's backing_open(): serve the open without passthrough then, but only if
  // in_use(node) is false.
  Result<int32_t> acquire(NodeId node, int fd) EXCLUDES(mutex_);
  // As acquire(), but only if the id is remembered: no file need be opened.
  std::optional<int32_t> acquire_known(NodeId node) EXCLUDES(mutex_);
  // One open of `node` has ended: RELEASE, or the open failed after all.
  void release(NodeId node) EXCLUDES(mutex_);
  // The node is gone or must get another file: its id is closed now, or at the last release.
  void forget(NodeId node) EXCLUDES(mutex_);

  [[nodiscard]] bool in_use(NodeId node) const EXCLUDES(mutex_);
  [[nodiscard]] size_t size() const EXCLUDES(mutex_);
  [[nodiscard]] const telemetry::Triplet& counters() const { return counters_; }

 private:
  struct Entry {
    int32_t id = 0;
    uint32_t opens = 0;
    bool doomed = false;               // forget() came while it was open
    std::list<NodeId>::iterator idle;  // its place in idle_ while opens is 0
  };
  std::optional<int32_t> acquire_locked(NodeId node) REQUIRES(mutex_);
  // Drops the longest idle one; the id to close.
  int32_t evict_locked() REQUIRES(mutex_);
  void close_id(int32_t id);

  KernelChannel& channel_;
  const size_t idle_max_;
  Ref<Log> log_;                 // set once
  telemetry::Triplet counters_;  // of registrations

  mutable sync::Mutex mutex_{kBackingLock};
  std::unordered_map<NodeId, Entry> entries_ GUARDED_BY(mutex_);
  std::list<NodeId> idle_ GUARDED_BY(mutex_);  // least recently used first
};

}  // namespace netfs::fuse
