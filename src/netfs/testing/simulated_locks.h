#pragma once
// SimulatedLocks: the locks of a simulated origin, by path.  A test that opens a holder of its own
// is somebody else who locks there.
//
// Each holder has a descriptor, and somebody may keep a copy of that: see die().
//
// Thread-safe; holders may outlive it.
//
//   SimulatedLocks locks(origin);
//   auto other = MUST(locks.open({.path = "f"}, LockKind::kRange, Deadline::never())).lock;
//   MUST(locks.set(*other, LockMode::kExclusive, {}, Deadline::never()));

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "netfs/origin.h"
#include "netfs/origin_locks.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs {

class SimulatedLocks final : public OriginLocks {
 public:
  explicit SimulatedLocks(Origin& tree);

  struct Counts {
    size_t opens = 0;
    size_t sets = 0;
    size_t holders = 0;  // now
  };
  [[nodiscard]] Counts counts() const;
  // What set() answers from now on, without doing anything; 0: the truth.
  void set_error(int error);
  void set_open_error(int error);  // the same of open()
  // Calls of set() wait from now on, each until release(), and are then carried out.
  void hold();
  void release();
  // Until `count` of them wait; false after a minute.
  bool wait_held(size_t count);

  // Holders that are destroyed from now on leave all they hold to whoever takes over their
  // descriptors, as those of a killed process do; until live().
  void die();
  void live();
  // All that anybody holds is free, and his holder has lost it.
  void take_away();

  Result<Opened> open(const FileAt& file, LockKind kind, Deadline deadline) override;
  Result<Opened> take_over(UniqueFd descriptor, LockKind kind) override;
  Result<void> set(OriginLock& lock, LockMode mode, const LockSpan& span,
                   Deadline deadline) override;
  Result<std::optional<LockedRange>> find(OriginLock& lock, LockMode mode, const LockSpan& span,
                                          Deadline deadline) override;

 private:
  struct State;
  struct Holder;

  Origin& tree_;
  const std::shared_ptr<State> state_;
};

}  // namespace netfs
