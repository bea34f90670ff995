#pragma once
// LockTable::Ask: one call about locks, from when it is prepared until it is told; inner to
// lock_table.cc and lock_steps.cc.
//
// Its life:  kPrepared -> kQueued -> kRunning -> kEnded
//                           ^           v
//                           +------ kBehindOurs, kBehindTheirs -> kEnded (interrupted)

#include <utility>

#include "vfs/lock_table.h"

namespace netfs::vfs {

class LockTable::Ask : public RefCounted<Ask> {
 public:
  enum class What : uint8_t { kSet, kFind, kCloseHandle, kTidy };
  enum class State : uint8_t {
    kPrepared,
    kQueued,
    kRunning,
    kBehindOurs,
    kBehindTheirs,
    kEnded,
  };

  explicit Ask(Wanted w) : wanted(std::move(w)) {}

  Wanted wanted;
  What what = What::kSet;
  UniqueFunction<void(Found)> done;
  // Under the table's lock:
  Ref<LockedFile> file;
  State state = State::kPrepared;
  bool interrupted = false;
  bool graced = false;   // it has waited for a close that may be the last
  bool counted = false;  // as one that had to wait
  Duration pause = kLockPauseFirst;
};

}  // namespace netfs::vfs
