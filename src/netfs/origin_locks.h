#pragma once
// OriginLocks: advisory locks at the origin; Origin::locks() gives it where there are any.
//
// They are those of everybody who works there: another mount, and a program beside it.  A *holder*
// stands for one owner of locks of one file: what two of them hold excludes each other, whoever
// opened them.  Calls block until their deadline as metadata calls do, and none of them waits for
// somebody else's lock: who wants to wait asks again.
//
// Errors: EAGAIN where somebody else's lock is in the way; EDEADLK where the origin knows; ENOLCK
// where it has no room, or does not let this user lock so; else as those of Origin.
//
// Thread-safe; of one holder one call at a time.  Lives as long as its origin; holders do not
// outlive it.

#include <cerrno>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "netfs/attributes.h"
#include "netfs/lock_ranges.h"
#include "netfs/origin_writer.h"

namespace netfs {

// Destroying it gives back all that it holds, also where others have copies of its descriptor; it
// waits for that a second at most.
class OriginLock {
 public:
  virtual ~OriginLock() = default;
  // Of an open file description whose locks they are (lock_descriptor.h): whoever has a copy of it
  // holds on to what is locked when this process dies.  -1: there is none.
  [[nodiscard]] virtual int descriptor() const { return -1; }
  // Whether the origin has taken away what it held, for good: others may have it.  Takes no lock.
  [[nodiscard]] virtual bool is_lost() const { return false; }
};

class OriginLocks {
 public:
  virtual ~OriginLocks() = default;

  struct Opened {
    std::unique_ptr<OriginLock> lock;  // a new one holds nothing yet
    NodeInfo info;                     // of its file
  };
  // A holder for locks of one kind.
  virtual Result<Opened> open(const FileAt& file, LockKind kind, Deadline deadline) = 0;
  // The holder that had this descriptor in a process before, with what it held, and the file that
  // it is of: somebody may have kept it for another one.  Without an identity: it is not known, as
  // of an origin that cannot be reached yet, for which nobody waits.  ENOTSUP: no holder has one.
  virtual Result<Opened> take_over(UniqueFd /*descriptor*/, LockKind /*kind*/) {
    return Error(ENOTSUP, "lock.take_over");
  }

  // Locks the span instead of what the holder has of it; kNone gives it back.  After EAGAIN it has
  // what it had; of kind kWhole perhaps nothing, as with flock(2).
  virtual Result<void> set(OriginLock& lock, LockMode mode, const LockSpan& span,
                           Deadline deadline) = 0;
  // What somebody else has that is in the way of this; `owner` says nothing.  For kind kRange.
  virtual Result<std::optional<LockedRange>> find(OriginLock& lock, LockMode mode,
                                                  const LockSpan& span, Deadline deadline) = 0;
};

}  // namespace netfs
