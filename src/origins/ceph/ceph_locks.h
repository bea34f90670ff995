#pragma once
// CephLocks: the locks of a CephFS, which its metadata server keeps for this client: fcntl(2)'s by
// the handle of a file, flock(2)'s by a descriptor of libcephfs's.
//
// Each holder is an owner of its own there, so two of them exclude each other, and everybody else
// who locks the file by whatever client of CephFS; no call waits there.  They are this client's: if
// it is thrown out, they are lost (OriginLock::is_lost()), and so they are when this process ends
// (OriginCapabilities::locks_end_with_process).
//
// libcephfs (16.2) locks whole files by descriptors alone, and opens those by path alone: a file
// that is open, and whose path is another's, is ENOLCK then.
//
// Thread-safe; what it is made of outlives it.

#include <atomic>
#include <memory>

#include "netfs/origin_locks.h"
#include "origins/ceph/calls.h"
#include "origins/ceph/session.h"

namespace netfs::origins::ceph {

class CephLocks final : public OriginLocks {
 public:
  CephLocks(Calls& calls, Ref<Sessions> sessions);

  Result<Opened> open(const FileAt& file, LockKind kind, Deadline deadline) override;
  Result<void> set(OriginLock& lock, LockMode mode, const LockSpan& span,
                   Deadline deadline) override;
  Result<std::optional<LockedRange>> find(OriginLock& lock, LockMode mode, const LockSpan& span,
                                          Deadline deadline) override;

 private:
  Calls& calls_;
  const Ref<Sessions> sessions_;
  std::atomic<uint64_t> last_owner_{0};
  // Whether who gives back waits until that is done: not behind one who has waited in vain.
  std::atomic<bool> answers_{true};
};

}  // namespace netfs::origins::ceph
