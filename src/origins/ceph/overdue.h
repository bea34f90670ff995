#pragma once
// Overdue: ends reads and writes at their deadlines, whatever libcephfs does.
//
// Whoever takes a ticket away ends what it stands for: its worker by claim(), or the thread here,
// at its time, which calls `late`.  Thread-safe.

#include <map>
#include <utility>

#include "base/clock.h"
#include "base/ref.h"
#include "base/unique_function.h"
#include "origins/ceph/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::origins::ceph {

class Overdue final : public RefCounted<Overdue> {
 public:
  using Ticket = std::pair<MonoTime, uint64_t>;

  Overdue();
  ~Overdue();

  Ticket add(Deadline deadline, UniqueFunction<void()> late) EXCLUDES(mutex_);
  // Whether its time is not up.
  [[nodiscard]] bool has(const Ticket& ticket) EXCLUDES(mutex_);
  // False: its time was up, and `late` is called.
  [[nodiscard]] bool claim(const Ticket& ticket) EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);

  sync::Mutex mutex_{kOverdueLock};
  sync::CondVar changed_;
  std::map<Ticket, UniqueFunction<void()>> waiting_ GUARDED_BY(mutex_);
  uint64_t last_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;
};

}  // namespace netfs::origins::ceph
