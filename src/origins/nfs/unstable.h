#pragma once
// Unstable: what was written and the server has not promised to keep.
//
// WRITE without sync is answered before the bytes are on the server's disk; its verifier names the
// server's life.  Each such range is held here until a COMMIT of the same life is answered.  When
// COMMIT names another life, the server was restarted in between and may have lost them: they are
// written again from here.
//
// A time of the last change that was set behind the bytes is set again behind those that are
// written again: it is what tells the version of a file.
//
// Who writes a file again, or changes its size, has it alone: no other write of it is under way, so
// that nothing newer is written over; those wait here, parked.  Holds no more than a bound:
// is_full() says that the next write had better be a stable one.  Thread-safe.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "netfs/attributes.h"
#include "netfs/write_subrequest.h"
#include "origins/nfs/lock_classes.h"
#include "origins/nfs/wire.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::nfs {

class Unstable {
 public:
  explicit Unstable(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  [[nodiscard]] uint64_t bytes_max() const { return bytes_max_; }

  struct Lost {
    uint64_t offset_bytes = 0;
    std::string bytes;
  };

  [[nodiscard]] bool is_full() const EXCLUDES(mutex_);
  [[nodiscard]] uint64_t held_bytes() const EXCLUDES(mutex_);
  [[nodiscard]] uint64_t held_bytes(const Handle& file) const EXCLUDES(mutex_);
  // Whether something of it is held, or its time is to be set again.
  [[nodiscard]] bool is_owed(const Handle& file) const EXCLUDES(mutex_);
  [[nodiscard]] bool holds_beyond(const Handle& file, uint64_t size_bytes) const EXCLUDES(mutex_);
  // Files of which something is held, the one with most of it first.
  [[nodiscard]] std::vector<Handle> files() const EXCLUDES(mutex_);
  // Those of which something has been held since before `then`.
  [[nodiscard]] std::vector<Handle> files_held_since(MonoTime then) const EXCLUDES(mutex_);

  // A write of it begins; false: it is parked, and comes back from end_alone().
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
  // Somebody has set its time of the last change to this; or a change of it has left another.
  void time_set(const Handle& file, const std::optional<Timestamp>& mtime) EXCLUDES(mutex_);
  // There is no such file any more.
  void forget(const Handle& file) EXCLUDES(mutex_);

  // All that is held now is older than what this answers.
  [[nodiscard]] uint64_t mark() const EXCLUDES(mutex_);
  // A COMMIT that was sent after mark() is answered.  True: nothing of before is held any more;
  // false: some of it is of another life, or its time is to be set again.
  [[nodiscard]] bool committed(const Handle& file, uint64_t mark, const Verifier& verifier)
      EXCLUDES(mutex_);

  // Somebody is to commit it: false when somebody is already, until commit_begins().
  [[nodiscard]] bool wants_commit(const Handle& file) EXCLUDES(mutex_);
  void commit_begins(const Handle& file) EXCLUDES(mutex_);

  // Waits until nothing of it is written and nobody else has it alone.  ETIMEDOUT: it has not
  // begun, and what was parked meanwhile is in `parked`, to be begun anew.
  Result<void> begin_alone(const Handle& file, Deadline deadline,
                           std::vector<WriteSubrequest*>& parked) EXCLUDES(mutex_);
  // What is to be written again next, no more than `most_bytes` of it: of before `mark`, of another
  // life, from `from` on.
  [[nodiscard]] std::optional<Lost> next_lost(const Handle& file, uint64_t mark,
                                              const Verifier& verifier, uint64_t from,
                                              uint64_t most_bytes) const EXCLUDES(mutex_);
  // This range is stable now: it was written again.
  void stored(const Handle& file, uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  // All is written again; the time that is to be set again, until forget_time().
  [[nodiscard]] std::optional<Timestamp> lost_time(const Handle& file) const EXCLUDES(mutex_);
  void forget_time(const Handle& file) EXCLUDES(mutex_);
  // What was parked: to be begun anew.
  [[nodiscard]] std::vector<WriteSubrequest*> end_alone(const Handle& file) EXCLUDES(mutex_);

  // What came of making it durable: nothing once it is.
  struct Failing {
    unsigned failures = 0;  // one after the other
    Duration stale{};       // for how long ESTALE has been the answer
  };
  Failing commit_failed(const Handle& file, int error, MonoTime now) EXCLUDES(mutex_);
  // ESTALE says nothing of it: the server has not found its disk yet.
  void not_stale(const Handle& file) EXCLUDES(mutex_);
  // Nothing of it is held any more, and that is told: the bytes that were.
  uint64_t give_up(const Handle& file) EXCLUDES(mutex_);
  // Whether that was done since it was asked: of this file, of any.
  [[nodiscard]] bool take_given_up(const Handle& file) EXCLUDES(mutex_);
  [[nodiscard]] bool take_given_up() EXCLUDES(mutex_);
  // Bytes of files that cannot be made durable, and an error of them.
  struct Refused {
    uint64_t bytes = 0;
    int error = 0;
  };
  [[nodiscard]] Refused refused() const EXCLUDES(mutex_);

 private:
  struct Extent {
    std::string bytes;
    Verifier verifier{};
    uint64_t mark = 0;
  };
  struct File {
    std::map<uint64_t, Extent> held;  // by offset; none overlap
    uint64_t held_bytes = 0;
    MonoTime held_since{};
    std::optional<Timestamp> mtime;  // that somebody set behind all that was written
    bool written_again = false;      // since then
    unsigned writes = 0;
    bool alone = false;
    bool commit_wanted = false;
    unsigned failures = 0;
    int error = 0;
    std::optional<MonoTime> stale_since;
    bool given_up = false;
    std::vector<WriteSubrequest*> parked;
  };

  [[nodiscard]] static bool has_lost_its_time(const File& file) {
    return file.mtime && file.written_again;
  }
  void drop_locked(File& file, uint64_t from, uint64_t to) REQUIRES(mutex_);
  void hold_locked(File& file, uint64_t offset, Extent extent) REQUIRES(mutex_);
  std::vector<WriteSubrequest*> end_alone_locked(const Handle& file) REQUIRES(mutex_);
  void tidy_locked(const Handle& file) REQUIRES(mutex_);

  const uint64_t bytes_max_;
  mutable sync::Mutex mutex_{kUnstableLock};
  sync::CondVar quiet_;
  std::map<Handle, File> files_ GUARDED_BY(mutex_);
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t mark_ GUARDED_BY(mutex_) = 0;
  bool any_given_up_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::origins::nfs
