#pragma once
// BlockMemory: which filled blocks to let go of when memory is short: those longest unused.
//
// Blocks whose store is queued stay, for the queue holds their memory anyway; so do, for a time,
// blocks that were fetched ahead of a reader who is on his way.  Thread-safe.

#include <cstddef>
#include <list>
#include <utility>
#include <vector>

#include "base/ref.h"
#include "netfs/fetch.h"
#include "netfs/lock_classes.h"
#include "sync/mutex.h"

namespace netfs {

class BlockMemory {
 public:
  struct Victim {
    Ref<RemoteFile> file;
    Ref<Fetch> fetch;
  };

  void add(Fetch& fetch, RemoteFile& file) EXCLUDES(mutex_);
  void touch(Fetch& fetch) EXCLUDES(mutex_);
  void remove(Fetch& fetch) EXCLUDES(mutex_);

  // Takes up to `count_max` of the oldest out of the list that were read and are stored.  The
  // caller drops them from their files.
  [[nodiscard]] std::vector<Victim> take_idle(size_t count_max) EXCLUDES(mutex_);
  // Takes the oldest out of the list until they hold `bytes`; those fetched ahead and not read yet
  // only if they were filled before `unread_before`.
  [[nodiscard]] std::vector<Victim> take_oldest(size_t bytes, MonoTime unread_before)
      EXCLUDES(mutex_);

 private:
  bool take_locked(std::list<MemoryEntry>::iterator at, std::vector<Victim>& victims)
      REQUIRES(mutex_);

  sync::Mutex mutex_{kBlockMemoryLock};
  std::list<MemoryEntry> entries_ GUARDED_BY(mutex_);  // longest unused first
};

}  // namespace netfs
