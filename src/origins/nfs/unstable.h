#pragma once
// Unstable: what was written and the server has not promised to keep.
//
// WRITE without sync is answered before the bytes are on the server's disk; its verifier names the
// server's life.  Each such range is held here until a COMMIT of the same life is answered.  When
// COMMIT names another life, the server was restarted in between and may have lost them: they are
// written again from here.
//
// While a file is written again no other write of it is under way, so that nothing newer is written
// over: those wait here, parked.  Holds no more than a bound: is_full() says that the next write
// had better be a stable one.  Thread-safe.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "netfs/write_subrequest.h"
#include "origins/nfs/lock_classes.h"
#include "origins/nfs/wire.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::nfs {

class Unstable {
 public:
  explicit Unstable(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  struct Lost {
    uint64_t offset_bytes = 0;
    std::string bytes;
  };

  [[nodiscard]] bool is_full() const EXCLUDES(mutex_);
  [[nodiscard]] uint64_t held_bytes() const EXCLUDES(mutex_);
  [[nodiscard]] uint64_t held_bytes(const Handle& file) const EXCLUDES(mutex_);
  // Files of which something is held.
  [[nodiscard]] std::vector<Handle> files() const EXCLUDES(mutex_);

  // A write of it begins; false: it is parked, and comes back from end_rewrite().
  [[nodiscard]] bool begin_write(const Handle& file, WriteSubrequest& write) EXCLUDES(mutex_);
  // It is answered: these bytes are the file's now, of the server's life `verifier`.
  void wrote(const Handle& file, uint64_t offset, std::span<const std::byte> bytes,
             const Verifier& verifier, bool stable) EXCLUDES(mutex_);
  // Parked ones whose time is up: they are parked no more, and have not been begun.
  [[nodiscard]] std::vector<WriteSubrequest*> take_overdue(MonoTime now) EXCLUDES(mutex_);
  // It ended, whatever came of it.
  void end_write(const Handle& file) EXCLUDES(mutex_);
  // The file ends here now.
  void truncated(const Handle& file, uint64_t size_bytes) EXCLUDES(mutex_);
  // There is no such file any more.
  void forget(const Handle& file) EXCLUDES(mutex_);

  // All that is held now is older than what this answers.
  [[nodiscard]] uint64_t mark() const EXCLUDES(mutex_);
  // A COMMIT that was sent after mark() is answered.  True: nothing of before is held any more;
  // false: some of it is of another life.
  [[nodiscard]] bool committed(const Handle& file, uint64_t mark, const Verifier& verifier)
      EXCLUDES(mutex_);

  // Somebody is to commit it: false when somebody is already, until commit_begins().
  [[nodiscard]] bool wants_commit(const Handle& file) EXCLUDES(mutex_);
  void commit_begins(const Handle& file) EXCLUDES(mutex_);

  // Waits until nothing of it is written.  ETIMEDOUT: it has not begun, and what was parked
  // meanwhile is in `parked`, to be begun anew.
  Result<void> begin_rewrite(const Handle& file, Deadline deadline,
                             std::vector<WriteSubrequest*>& parked) EXCLUDES(mutex_);
  // What has to be written again: of before `mark`, of another life.
  [[nodiscard]] std::vector<Lost> lost(const Handle& file, uint64_t mark,
                                       const Verifier& verifier) const EXCLUDES(mutex_);
  // This range is stable now.
  void stored(const Handle& file, uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  // What was parked: to be begun anew.
  [[nodiscard]] std::vector<WriteSubrequest*> end_rewrite(const Handle& file) EXCLUDES(mutex_);

 private:
  struct Extent {
    std::string bytes;
    Verifier verifier{};
    uint64_t mark = 0;
  };
  struct File {
    std::map<uint64_t, Extent> held;  // by offset; none overlap
    uint64_t held_bytes = 0;
    unsigned writes = 0;
    bool rewritten = false;
    bool commit_wanted = false;
    std::vector<WriteSubrequest*> parked;
  };

  void drop_locked(File& file, uint64_t from, uint64_t to) REQUIRES(mutex_);
  void hold_locked(File& file, uint64_t offset, Extent extent) REQUIRES(mutex_);
  std::vector<WriteSubrequest*> end_rewrite_locked(const Handle& file) REQUIRES(mutex_);
  void tidy_locked(const Handle& file) REQUIRES(mutex_);

  const uint64_t bytes_max_;
  mutable sync::Mutex mutex_{kUnstableLock};
  sync::CondVar quiet_;
  std::map<Handle, File> files_ GUARDED_BY(mutex_);
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t mark_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs::origins::nfs
