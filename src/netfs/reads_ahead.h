#pragma once
// ReadsAhead: whose turn it is to be read ahead, where an origin carries out few reads at a time.
//
// What is asked for together comes together, for connections share a link alike: then the window of
// a reader moves on at once by all of it, and the link is empty until the first of what he asks for
// next comes.  So reads ahead begin as bytes of the earlier ones come: about as much is under way
// as the link holds, and the earliest read is the nearest to its end.  Fewer of them than the
// origin carries out are under way at any time; who waits for a read does not wait for these.
//
// Files take turns.  One that has none now is kept here until next() gives it out, which comes to
// pass since no read waits while none is under way.
//
// Thread-safe.

#include <algorithm>
#include <cstdint>
#include <deque>

#include "base/ref.h"
#include "netfs/lock_classes.h"
#include "sync/mutex.h"

namespace netfs {

class RemoteFile;

class ReadsAhead {
 public:
  // 0: as many as there are, and nothing is counted.
  explicit ReadsAhead(unsigned reads_max);
  ~ReadsAhead();

  // Begins a read of so many bytes, where so many may be under way (link_estimate.h); false: `file`
  // is to try again when it is its turn.
  bool begin(uint64_t bytes, uint64_t under_way_bytes, const Ref<RemoteFile>& file)
      EXCLUDES(mutex_);
  // Of a read that has begun so many bytes came; it is over, and so many did not come.
  void came(uint64_t bytes) EXCLUDES(mutex_);
  void ended(uint64_t left_bytes) EXCLUDES(mutex_);
  // Whose turn it is: takes it out of those that wait.  Null: nobody's.
  [[nodiscard]] Ref<RemoteFile> next(uint64_t under_way_bytes) EXCLUDES(mutex_);

  [[nodiscard]] bool counts() const { return reads_max_ > 0; }

  static constexpr uint64_t kBytesMin = uint64_t{1} << 20;

 private:
  // The last to begin goes beyond it by up to its length: so an estimate that is too low grows.
  [[nodiscard]] bool has_room_locked(uint64_t under_way_bytes) const REQUIRES(mutex_) {
    if (reads_ == 0) return true;
    return reads_ < reads_max_ && bytes_ < std::max(kBytesMin, under_way_bytes);
  }

  const unsigned reads_max_;
  sync::Mutex mutex_{kReadsAheadLock};
  unsigned reads_ GUARDED_BY(mutex_) = 0;  // under way
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;  // of these, what has not come
  std::deque<Ref<RemoteFile>> waiting_ GUARDED_BY(mutex_);
};

}  // namespace netfs
