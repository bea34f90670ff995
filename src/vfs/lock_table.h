#pragma once
// LockTable: the locks that programs on this mount hold at the origin, and those that wait for one.
//
// Of each file it knows what each owner here has locked, so that what excludes each other on this
// mount is decided here, with the pid of who is in the way, and EDEADLK where owners wait in a
// circle.  The rest is the origin's word, and each owner has a holder of his own there.  Calls
// about one file are carried out in turn, on workers of the table's own.
//
// What is held is noted in the arena, and its descriptors are kept where they outlive this process:
// a process after this one holds it on.  What that cannot get, because somebody else had it
// meanwhile, is *lost*: whoever held it is told EIO at each use until he has given it back, and
// with one range of a file he loses all that he had of it.
//
// Who waits holds no thread: behind somebody on this mount, until that one gives back; behind
// somebody else at the origin, by asking again after a pause that doubles up to kLockPauseMax.
//
// Thread-safe.  What it is made of outlives it.
//
//   const Ref<LockTable::Ask> ask = table.prepare({.node = id, .waits = true, .unique = u, ...});
//   if (reply.interrupted()) table.interrupt(u);
//   table.set(ask, [](Result<void> outcome) {...});   // from any thread, under no lock

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/unique_function.h"
#include "fuse/wire.h"
#include "netfs/origin_locks.h"
#include "sync/mutex.h"
#include "sync/work_queue.h"
#include "vfs/descriptor_keeper.h"
#include "vfs/lock_classes.h"
#include "vfs/options.h"
#include "vfs/saved_locks.h"

namespace netfs::vfs {

class LockTable {
 public:
  // A file by one of its nodes: it may have several, which are of one identity.
  struct FileName {
    fuse::NodeId node;
    std::string identity;  // the origin's; may be empty
  };
  struct Wanted {
    fuse::NodeId node;
    std::string identity;   // the origin's of its file; may be empty
    fuse::HandleId handle;  // it is asked through
    LockKind kind = LockKind::kRange;
    LockedRange range;    // mode kNone gives back
    bool waits = false;   // for those who are in the way
    uint64_t unique = 0;  // the request's, by which one that waits is interrupted
  };
  struct Parts {
    OriginLocks& origin;
    // A holder for what somebody wants, of the very file that his node is.
    std::function<Result<std::unique_ptr<OriginLock>>(const Wanted& wanted)> open;
    SavedLocks& saved;
    DescriptorKeeper* keeper = nullptr;  // null: a process after this one opens holders anew
    Duration timeout;                    // of each call of the origin
    Duration close_grace;                // see kLockCloseGrace
    bool ends_with_process = false;      // OriginCapabilities::locks_end_with_process
    const Clock& clock;
    Counters& counters;
  };
  class Ask;
  using Found = Result<std::optional<LockedRange>>;

  explicit LockTable(Parts parts);
  ~LockTable();
  LockTable(const LockTable&) = delete;
  LockTable& operator=(const LockTable&) = delete;

  // What is known here of whom a process before this one held something for.
  struct Heir {
    std::string identity;  // of his file; may be empty
    // Else nobody can use what he has: it is lost, with what was written under it and is kept yet.
    bool has_handle = true;
  };
  // Holds on what a process before this one held, or has lost it.  Before anybody asks.
  void take_over(const SavedLocks::Left& left, const Heir& heir, UniqueFd kept, Deadline until)
      EXCLUDES(mutex_);

  // What a process before this one held and nobody was told of, or that nobody can use: whoever has
  // copies of its descriptor, its locks are free.
  void give_back_left(uint64_t key, UniqueFd kept);
  // The key by which a holder's descriptor is kept.
  static_assert(SavedLocks::kNumberBits <= kLockKindShift);
  static uint64_t key_of(LockKind kind, uint64_t number) {
    return kLockKeys | static_cast<uint64_t>(kind) << kLockKindShift | number;
  }

  // From now on it may be interrupted.
  Ref<Ask> prepare(Wanted wanted) EXCLUDES(mutex_);
  // EAGAIN: somebody else's is in the way; EINTR, EDEADLK: of one that waits; ENOLCK: there are too
  // many.  ESTALE: the origin has another file there now.  EIO: also of an owner who has lost some;
  // what is given back is so all the same.
  void set(const Ref<Ask>& ask, UniqueFunction<void(Result<void>)> done) EXCLUDES(mutex_);
  // What is in the way.
  void find(const Ref<Ask>& ask, UniqueFunction<void(Found)> done) EXCLUDES(mutex_);
  // All that was locked through a handle that is closed.
  void give_back(const FileName& file, fuse::HandleId handle, UniqueFunction<void()> done)
      EXCLUDES(mutex_);

  // Whether what was locked through a handle of a file is lost.
  [[nodiscard]] bool has_lost(fuse::NodeId node, fuse::HandleId handle) EXCLUDES(mutex_);
  [[nodiscard]] bool has_lost() const { return lost_.load() > 0; }
  // Whether somebody's of a file was held by the process before this one and is lost: what that had
  // kept may have been written under it.  Until forget_lost_now(): then all of that is settled.
  [[nodiscard]] bool has_lost_now(const FileName& file) EXCLUDES(mutex_);
  void forget_lost_now() EXCLUDES(mutex_);

  // A descriptor of the handle was closed; if it was the last one, give_back() follows.
  void note_close(fuse::NodeId node, fuse::HandleId handle) EXCLUDES(mutex_);

  // One that waits ends with EINTR.
  void interrupt(uint64_t unique) EXCLUDES(mutex_);
  // Whether an owner holds something of a file, or has asked for it.
  [[nodiscard]] bool has(const FileName& file, LockKind kind, uint64_t owner) EXCLUDES(mutex_);
  [[nodiscard]] bool has_files() const { return known_.load() > 0; }
  // The same of what was asked through a handle.
  [[nodiscard]] bool has(fuse::NodeId node, fuse::HandleId handle) EXCLUDES(mutex_);

  struct Sizes {
    size_t files = 0;    // of which something is locked
    size_t holders = 0;  // owners of locks, each of them for one file and kind
    size_t waiting = 0;
  };
  [[nodiscard]] Sizes sizes() const EXCLUDES(mutex_);

  // Nobody is told any more; gives back all.  Bounded by the calls of the origin under way.
  void stop() EXCLUDES(mutex_);

 private:
  struct Holder {
    std::unique_ptr<OriginLock> lock;  // null: it is lost
    fuse::NodeId node;
    fuse::HandleId handle;  // through which it was last asked
    bool closing = false;   // that was closed since, perhaps for good
    uint64_t number = 0;    // by which it is saved and kept; 0: it never held anything
    bool kept = false;      // who keeps descriptors was given its own
    LockRanges lost;
    bool lost_now = false;  // SavedLocks::Owner's
  };
  // All of it under the table's lock, but that what the origin does with a holder is done by the
  // one who carries out the file's calls, and he alone takes holders away.
  struct LockedFile : RefCounted<LockedFile> {
    using OwnerKey = std::pair<LockKind, uint64_t>;
    std::string identity;
    std::vector<uint64_t> nodes;  // by which it is known
    std::array<LockRanges, 2> ranges;
    std::map<OwnerKey, Holder> holders;
    std::deque<Ref<Ask>> queue;
    std::vector<Ref<Ask>> blocked;
    bool running = false;

    LockRanges& of(LockKind kind) { return ranges[static_cast<size_t>(kind)]; }
    const LockRanges& of(LockKind kind) const { return ranges[static_cast<size_t>(kind)]; }
  };
  using Gone = std::map<LockedFile::OwnerKey, Holder>::node_type;

  Ref<LockedFile> file_of_locked(const Wanted& wanted) REQUIRES(mutex_);
  LockedFile* known_locked(fuse::NodeId node, const std::string& identity) REQUIRES(mutex_);
  LockedFile* known_locked(fuse::NodeId node) REQUIRES(mutex_);
  void forget_if_unused_locked(LockedFile& file) REQUIRES(mutex_);
  [[nodiscard]] bool closes_circle_locked(const LockedFile& file, const Ask& ask) REQUIRES(mutex_);

  void enqueue(const Ref<Ask>& ask) EXCLUDES(mutex_);
  Ref<LockedFile> queue_locked(const Ref<Ask>& ask) REQUIRES(mutex_);
  void begin(Ref<LockedFile> idle);
  void run(const Ref<LockedFile>& file) EXCLUDES(mutex_);
  void carry_out(LockedFile& file, const Ref<Ask>& ask) EXCLUDES(mutex_);
  void lock_now(LockedFile& file, const Ref<Ask>& ask) EXCLUDES(mutex_);
  void unlock_now(LockedFile& file, const Ref<Ask>& ask) EXCLUDES(mutex_);
  void find_now(LockedFile& file, const Ref<Ask>& ask) EXCLUDES(mutex_);
  void close_now(LockedFile& file, const Ref<Ask>& ask) EXCLUDES(mutex_);
  Result<OriginLock*> holder_of(LockedFile& file, const Wanted& wanted) EXCLUDES(mutex_);
  Result<void> set_at_origin(LockedFile& file, const Wanted& wanted, OriginLock& lock)
      EXCLUDES(mutex_);
  static bool has_lost_something(const Holder& holder) {
    return holder.lost.count() > 0 || (holder.lock != nullptr && holder.lock->is_lost());
  }
  // lock_succession.cc
  void note_what_is_taken_away(LockedFile& file) EXCLUDES(mutex_);
  void lose(LockedFile& file, const LockedFile::OwnerKey& key) EXCLUDES(mutex_);
  bool is_lost(const LockedFile& file, const Wanted& wanted) EXCLUDES(mutex_);
  bool unlock_lost(LockedFile& file, const Ref<Ask>& ask) EXCLUDES(mutex_);
  void keep(LockedFile& file, const LockedFile::OwnerKey& key) EXCLUDES(mutex_);
  void save(LockedFile& file, const LockedFile::OwnerKey& key) EXCLUDES(mutex_);
  void save_what_is_left(LockedFile& file, const Wanted& wanted) EXCLUDES(mutex_);
  Gone extract_locked(LockedFile& file, const LockedFile::OwnerKey& key) REQUIRES(mutex_);
  void let_go(Gone gone) EXCLUDES(mutex_);
  Result<std::unique_ptr<OriginLock>> claim(const SavedLocks::Left& left, const Heir& heir,
                                            UniqueFd kept, Deadline until);
  Result<void> give_back_gaps(OriginLock& lock, const SavedLocks::Left& left, Deadline until);
  void lose_whole(LockedFile& file, const Wanted& wanted) EXCLUDES(mutex_);
  enum class Behind : uint8_t { kOurs, kTheirs };
  void wait_or_refuse(LockedFile& file, const Ref<Ask>& ask, Behind whom) EXCLUDES(mutex_);
  void ask_again(const Ref<Ask>& ask) EXCLUDES(mutex_);
  bool wait_for_close(LockedFile& file, const Ref<Ask>& ask) EXCLUDES(mutex_);
  void wake(LockedFile& file) EXCLUDES(mutex_);
  void tidy(LockedFile& file, LockKind kind, uint64_t owner) EXCLUDES(mutex_);
  void end(LockedFile& file, const Ref<Ask>& ask, Found outcome) EXCLUDES(mutex_);
  [[nodiscard]] Deadline deadline() const { return Deadline::after(parts_.clock, parts_.timeout); }

  const Parts parts_;
  mutable sync::Mutex mutex_{kLockTableLock};
  std::unordered_map<LockedFile*, Ref<LockedFile>> files_ GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, LockedFile*> by_node_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, LockedFile*> by_identity_ GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, Ref<Ask>> by_unique_ GUARDED_BY(mutex_);
  size_t holders_ GUARDED_BY(mutex_) = 0;
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::atomic<size_t> known_{0};  // files: most mounts have none
  std::atomic<size_t> lost_{0};   // holders
  sync::WorkQueue workers_;       // last: its threads use all of the above
};

}  // namespace netfs::vfs
