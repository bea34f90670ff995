#pragma once
// BackingLog: the numbers of backing files that the kernel has given to this mount and not got
// back, in arena memory, so that a process after this one can give back those that nobody uses.
//
// Thread-safe; a leaf.

#include <unordered_map>
#include <vector>

#include "fuse/backing.h"
#include "sync/mutex.h"
#include "vfs/arena.h"
#include "vfs/lock_classes.h"

namespace netfs::vfs {

class BackingLog final : public fuse::BackingIds::Log {
 public:
  explicit BackingLog(Ref<ArenaMemory> memory);

  void opened(int32_t id) override EXCLUDES(mutex_);
  void closed(int32_t id) override EXCLUDES(mutex_);
  // All of them; those of a process before this one at first.
  [[nodiscard]] std::vector<int32_t> all() const EXCLUDES(mutex_);

 private:
  struct Record {
    int32_t id;  // 0: free
    uint32_t unused;
  };
  mutable sync::Mutex mutex_{kBackingLogLock};
  Arena<Record> records_ GUARDED_BY(mutex_);
  std::unordered_map<int32_t, uint32_t> by_id_ GUARDED_BY(mutex_);
};

}  // namespace netfs::vfs
