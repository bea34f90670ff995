#pragma once
// LateChanges: changes that are still under way though who asked for them was told ETIMEDOUT.
//
// libcephfs takes no call back.  What is changed after a late one must not be undone by it, so
// nothing else begins until all late ones have ended.  Thread-safe.

#include <cerrno>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "origins/ceph/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::ceph {

class LateChanges final : public RefCounted<LateChanges> {
 public:
  // May be told after its ended(): the two threads do not wait for each other.
  void begins() EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    ++late_;
  }
  void ended() EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    --late_;
    none_.notify_all();
  }
  // ETIMEDOUT: there is one still.
  Result<void> wait_for_none(Deadline deadline) EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    while (late_ > 0) {
      if (!none_.wait_until(mutex_, deadline.at) && late_ > 0) {
        return Error(ETIMEDOUT, "ceph.change");
      }
    }
    return {};
  }
  [[nodiscard]] int count() const EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    return late_;
  }

 private:
  mutable sync::Mutex mutex_{kLateChangesLock};
  sync::CondVar none_;
  int late_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs::origins::ceph
