#pragma once
// PathHolds: by which paths calls that change something are under way, so that no directory moves
// under one of them.
//
// The kernel holds the directory in which a name changes, and not those above it.  One of these may
// get another name, and another directory its old one, between the moment in which the path of a
// call is made up and that in which the origin acts by it: it would change another file.  So who
// changes something by a path holds it; who moves a directory waits for those who hold it or a path
// beneath, and they for him, in the order in which they came.
//
// Thread-safe.
//
//   std::optional<PathHolds::Number> held = holds.enter({.names = {"a/b"}}, waiter);
//   if (!held) return;  // the waiter has the hold when it is called
//   ... at the origin, then in the table
//   for (PathHolds::Ready& next : holds.leave(*held)) next.waiter(next.number);

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_function.h"
#include "sync/mutex.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class PathHolds {
 public:
  using Number = uint64_t;
  using Waiter = UniqueFunction<void(Number)>;
  struct Paths {
    std::vector<std::string> names;   // what it does is done by these,
    std::vector<std::string> moving;  // and all of these and what lies beneath may have others then
  };
  struct Ready {
    Number number;
    Waiter waiter;
  };

  // Nothing: others are in the way, and the waiter was taken.
  std::optional<Number> enter(Paths paths, Waiter& waiter) EXCLUDES(mutex_);
  // Those who waited for this one last; they have their holds.
  [[nodiscard]] std::vector<Ready> leave(Number number) EXCLUDES(mutex_);

 private:
  struct Call {
    Paths paths;
    Waiter waiter;  // of one that waits
    bool waits = false;
  };

  [[nodiscard]] bool may_go(Number number, const Call& call) const REQUIRES(mutex_);

  sync::Mutex mutex_{kPathHoldsLock};
  std::map<Number, Call> calls_ GUARDED_BY(mutex_);  // in the order in which they came
  size_t moving_ GUARDED_BY(mutex_) = 0;             // of those, who move something
  Number next_ GUARDED_BY(mutex_) = 1;
};

}  // namespace netfs::vfs
