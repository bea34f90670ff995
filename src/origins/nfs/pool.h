#pragma once
// Pool: the connections of one origin.  Each request takes the one with the least to do.
//
// Thread-safe.

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "origins/nfs/connection.h"
#include "origins/nfs/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::nfs {

class Pool {
 public:
  Pool(const RpcTarget& target, unsigned connections, Duration silence);

  // One that is up; ENOTCONN with the reason when none was until the deadline.
  Result<Connection*> acquire(Deadline deadline) EXCLUDES(mutex_);
  // Null: none is up now.
  [[nodiscard]] Connection* try_acquire();

  struct State {
    size_t up = 0;
    size_t wanted = 0;
    uint64_t losses = 0;
    size_t in_flight = 0;
    std::string last_error;
  };
  [[nodiscard]] State state() const;

 private:
  void changed() EXCLUDES(mutex_);

  mutable sync::Mutex mutex_{kPoolLock};
  sync::CondVar change_;
  uint64_t changes_ GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace netfs::origins::nfs
