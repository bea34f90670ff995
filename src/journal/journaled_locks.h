#pragma once
// JournaledLocks: the locks of the origin behind a journal.  They are taken there at once, whatever
// is pending; a file that is not there yet is waited for.  What was written under a lock is
// uploaded in its turn, perhaps after the lock was given back.
//
// Thread-safe; part of its origin.

#include <memory>
#include <utility>

#include "journal/journal.h"
#include "netfs/origin_locks.h"

namespace netfs::journal {

class JournaledLocks final : public OriginLocks {
 public:
  JournaledLocks(Journal& journal, OriginLocks& inner) : journal_(journal), inner_(inner) {}

  Result<Opened> open(const FileAt& file, LockKind kind, Deadline deadline) override;
  Result<Opened> take_over(UniqueFd descriptor, LockKind kind) override {
    Opened taken = TRY(inner_.take_over(std::move(descriptor), kind));
    taken.info.identity.clear();  // no file of this origin has one
    return taken;
  }
  Result<void> set(OriginLock& lock, LockMode mode, const LockSpan& span,
                   Deadline deadline) override {
    return inner_.set(lock, mode, span, deadline);
  }
  Result<std::optional<LockedRange>> find(OriginLock& lock, LockMode mode, const LockSpan& span,
                                          Deadline deadline) override {
    return inner_.find(lock, mode, span, deadline);
  }

 private:
  Result<void> wait_until_uploaded(Deadline deadline);

  Journal& journal_;
  OriginLocks& inner_;
};

}  // namespace netfs::journal
