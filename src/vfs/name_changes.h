#pragma once
// NameChanges: which changes of names are under way, and who waits for their end.
//
// While a name goes or moves the origin is ahead of the inode table: a file that is opened or read
// for the first time in that moment is not found by the path it had.  Whoever that happens to waits
// until the changes that had begun before are in the table, and looks once more.
//
// Thread-safe.
//
//   const uint64_t change = changes.begin();
//   ... at the origin, then in the table
//   for (auto& waiter : changes.end(change)) on_worker(std::move(waiter));

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "sync/mutex.h"
#include "sync/work_queue.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class NameChanges {
 public:
  using Waiter = sync::WorkQueue::Work;

  uint64_t begin() EXCLUDES(mutex_);
  // Whether any is under way.
  [[nodiscard]] bool any() EXCLUDES(mutex_);
  // A moment: what was under way then, or has begun since, is told by any_since().
  [[nodiscard]] uint64_t now() EXCLUDES(mutex_);
  [[nodiscard]] bool any_since(uint64_t moment) EXCLUDES(mutex_);
  // Those who waited for this one last.
  [[nodiscard]] std::vector<Waiter> end(uint64_t change) EXCLUDES(mutex_);
  // Keeps the waiter until all changes that are under way now have ended; gives it back when there
  // are none.
  [[nodiscard]] std::optional<Waiter> wait(Waiter waiter) EXCLUDES(mutex_);

 private:
  struct Waiting {
    uint64_t before;  // all changes with a smaller number
    Waiter waiter;
  };

  sync::Mutex mutex_{kNameChangesLock};
  uint64_t next_ GUARDED_BY(mutex_) = 0;
  std::set<uint64_t> under_way_ GUARDED_BY(mutex_);
  std::vector<Waiting> waiting_ GUARDED_BY(mutex_);
};

}  // namespace netfs::vfs
