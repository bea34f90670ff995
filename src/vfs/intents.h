#pragma once
// Intents: which changes of names are under way, what stood at their names before, and what they
// were answered, in arena memory: a process after this one, that the kernel asks the same again,
// tells by it what was done already.
//
// A record is there from before the origin is asked until the kernel has the answer.  What is asked
// again without one was never begun.  What was left by a process that had just answered is never
// asked again, and stays: there are few of those.
//
// Each has a checksum, and one that is damaged is left out.  From then on nobody knows of what is
// asked again without a record whether it was begun (some_are_lost()), also in processes to come.
//
// Thread-safe; a leaf.  A `unique` is one with or without the kernel's re-send bit.
//
//   intents.begin(unique, {.first = ...});       // then the origin is asked
//   intents.done(unique, 0, body);               // before the answer
//   intents.end(unique);                         // behind it
//   if (auto left = intents.left(unique)) ...    // of a process before this one

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "sync/mutex.h"
#include "vfs/arena.h"
#include "vfs/bytes_arena.h"
#include "vfs/lock_classes.h"
#include "vfs/saved_node.h"

namespace netfs::vfs {

class Intents {
 public:
  // What stood at the names of a change; of one name, or of none, the rest is nothing.
  struct Before {
    SavedNode first;
    SavedNode second;
    uint32_t how = 0;  // of a rename: RenameHow and 1
  };
  struct Left {
    uint64_t unique = 0;
    bool done = false;
    int error = 0;       // it was answered, if it is done
    std::string answer;  // or that: the body
    bool under_way = false;
    Before before;
  };

  // `lost`: a process before this one had left others, which could not be taken over.
  explicit Intents(Ref<ArenaMemory> memory, bool lost = false);

  void begin(uint64_t unique, const Before& before) EXCLUDES(mutex_);
  // Nothing happens where none has begun.
  void done(uint64_t unique, int error, std::span<const std::byte> answer) EXCLUDES(mutex_);
  void end(uint64_t unique) EXCLUDES(mutex_);
  // Whether this process is at it, as who begins one is: else what a process after this one finds
  // at the names, others may have made of them since.
  void set_under_way(uint64_t unique, bool under_way) EXCLUDES(mutex_);

  // As a process before this one left it, until it ends; and all of those.
  [[nodiscard]] std::optional<Left> left(uint64_t unique) const EXCLUDES(mutex_);
  [[nodiscard]] std::vector<Left> all_left() const EXCLUDES(mutex_);
  [[nodiscard]] size_t count() const EXCLUDES(mutex_);
  [[nodiscard]] bool some_are_lost() const { return lost_; }

 private:
  struct Record {
    uint64_t unique;  // kUsed and it; 0: free
    uint32_t how;
    uint32_t first, second;  // a SavedNode among the bytes
    uint32_t crc;            // of those
    uint32_t done;           // 0, or a checksum of `unique` and the two that follow
    uint32_t error;
    uint32_t answer;     // among the bytes, or 0
    uint32_t under_way;  // a checksum of `unique`; any other value: it is not
  };
  // No single bit makes a record that is in use a free one.
  static constexpr uint64_t kUsed = uint64_t{1} << 63;
  static uint32_t crc_of(uint64_t unique, const Record& record);
  static uint32_t done_of(const Record& record);
  static uint32_t under_way_of(uint64_t unique);
  [[nodiscard]] bool is_whole(const Record& record) const REQUIRES(mutex_);
  void begin_locked(uint64_t unique, const Before& before) REQUIRES(mutex_);
  [[nodiscard]] Left left_locked(uint64_t unique, const Record& record) const REQUIRES(mutex_);
  void end_locked(uint64_t unique) REQUIRES(mutex_);
  [[nodiscard]] Record* find(uint64_t unique) REQUIRES(mutex_);

  mutable sync::Mutex mutex_{kIntentsLock};
  mutable Arena<Record> records_ GUARDED_BY(mutex_);
  BytesArena bytes_ GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, uint32_t> by_unique_ GUARDED_BY(mutex_);
  // Those that a process before this one left.
  std::unordered_map<uint64_t, uint32_t> inherited_ GUARDED_BY(mutex_);
  bool lost_ = false;  // set once
};

}  // namespace netfs::vfs
