#pragma once
// WaitedRead and WaitedWrite: one subrequest of an inner origin, and whoever waits for it.
//
// Whoever waits is not timed out here: the inner origin ends it.
//
//   const ReadOutcome outcome = WaitedRead(file, range, to, deadline).run(origin);

#include <optional>
#include <span>
#include <utility>

#include "journal/lock_classes.h"
#include "netfs/origin.h"
#include "netfs/origin_writer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::journal {

// Where an outcome is put by one thread and taken by another.
template <class Outcome>
class Awaited {
 public:
  void put(Outcome outcome) {
    sync::MutexLock lock(mutex_);
    outcome_ = std::move(outcome);
    there_.notify_all();
  }
  Outcome take() {
    sync::MutexLock lock(mutex_);
    while (!outcome_) there_.wait(mutex_);
    return std::move(*outcome_);
  }

 private:
  sync::Mutex mutex_{kWaitLock};
  sync::CondVar there_;
  std::optional<Outcome> outcome_ GUARDED_BY(mutex_);
};

class WaitedRead : public Subrequest {
 public:
  using Subrequest::Subrequest;
  void terminated(ReadOutcome outcome) override { awaited_.put(std::move(outcome)); }
  ReadOutcome run(Origin& origin) {
    origin.issue_read(*this);
    return take();
  }
  ReadOutcome take() { return awaited_.take(); }

 private:
  Awaited<ReadOutcome> awaited_;
};

class WaitedWrite : public WriteSubrequest {
 public:
  using WriteSubrequest::WriteSubrequest;
  void terminated(WriteOutcome outcome) override { awaited_.put(std::move(outcome)); }
  WriteOutcome take() { return awaited_.take(); }

 private:
  Awaited<WriteOutcome> awaited_;
};

}  // namespace netfs::journal
