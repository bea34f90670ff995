#pragma once
// SavedLocks: what owners on this mount hold at the origin, in arena memory, so that whoever serves
// the mount after this process holds it on.
//
// A *holder* is one owner's of one file and kind; it has a number that no holder has had before, in
// whichever process.  A record a range, and a change of them counts range by range: first those
// come that are new, then those go that are old, so a process that is killed in between leaves what
// was, or what is, of each byte.
//
// Thread-safe; a leaf: it calls nobody.
//
//   saved.set(number, owner, ranges);       // before the kernel is told of more, and before the
//   saved.forget(number);                   // origin is told of less
//   for (const SavedLocks::Left& one : saved.left()) ...   // of a process before this one

#include <cstdint>
#include <map>
#include <vector>

#include "fuse/wire.h"
#include "netfs/lock_ranges.h"
#include "sync/mutex.h"
#include "vfs/arena.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class SavedLocks {
 public:
  explicit SavedLocks(Ref<ArenaMemory> memory);
  // Whether all that a process before this one left is what it was.  Else nobody knows whose locks
  // are lost, and nothing of that memory may be used.
  static bool are_whole(const Ref<ArenaMemory>& memory);

  struct Owner {
    fuse::NodeId node;
    fuse::HandleId handle;  // through which it was last asked
    LockKind kind = LockKind::kRange;
    uint64_t owner = 0;
    bool lost = false;  // somebody else had it when it was to be held on
    // That was found just now: what was written under it by close and is kept yet is not written.
    bool lost_now = false;

    friend bool operator==(const Owner&, const Owner&) = default;
  };

  // Drawn: what is kept somewhere by the number of one who is gone may be there still.
  uint64_t new_number() EXCLUDES(mutex_);
  static constexpr unsigned kNumberBits = 48;
  // What the holder holds from now on; its ranges do not overlap.
  void set(uint64_t number, const Owner& owner, const std::vector<LockedRange>& ranges)
      EXCLUDES(mutex_);
  void forget(uint64_t number) EXCLUDES(mutex_) { set(number, {}, {}); }

  struct Left {
    uint64_t number = 0;
    Owner owner;
    std::vector<LockedRange> ranges;
  };
  // What a process before this one left; once.
  [[nodiscard]] std::vector<Left> left() EXCLUDES(mutex_);

  [[nodiscard]] size_t count() const EXCLUDES(mutex_);  // of ranges

 private:
  struct Record {
    uint64_t serial;  // 0: free; the newer counts where two of a holder overlap
    uint64_t number;
    uint64_t node_id;
    uint64_t handle_id;
    uint64_t owner;
    uint64_t first;
    uint64_t last;
    uint32_t pid;
    uint8_t kind;
    uint8_t mode;
    uint8_t lost;
    uint8_t unused;
    uint32_t crc;  // of all the above
    uint32_t unused_too;
  };

  static uint32_t crc_of(const Record& record);
  static Owner owner_of(const Record& record);
  static LockedRange range_of(const Record& record);
  static bool is_free(const Record& record);
  static bool is_sound(const Record& record);
  uint32_t add(uint64_t number, const Owner& owner, const LockedRange& range) REQUIRES(mutex_);
  void restore() REQUIRES(mutex_);

  mutable sync::Mutex mutex_{kSavedLocksLock};
  Arena<Record> records_ GUARDED_BY(mutex_);
  std::map<uint64_t, std::vector<uint32_t>> by_number_ GUARDED_BY(mutex_);
  std::vector<Left> left_ GUARDED_BY(mutex_);
  size_t count_ GUARDED_BY(mutex_) = 0;
  // Of many bits, so that none of them alone makes a record a free one, or a free one a record.
  uint64_t last_serial_ GUARDED_BY(mutex_) = uint64_t{0xf0f} << 48;
};

}  // namespace netfs::vfs
