#pragma once
// RequestList: the live requests, in the order in which they expire; it can be shown to people.
//
// All requests have the same timeout, so a new one is the last to expire; one that gets more time
// moves back.  One timer is enough.  Thread-safe.

#include <cstdint>
#include <vector>

#include "base/ref.h"
#include "netfs/lock_classes.h"
#include "netfs/request.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs {

class RequestList {
 public:
  ~RequestList();

  // False once closed.  `first`: the list was empty, so the caller must start its timer.
  bool add(Request& request, bool& first) EXCLUDES(mutex_);
  void remove(Request& request) EXCLUDES(mutex_);
  // It has time until then; nothing if it is not listed any more.
  void postpone(Request& request, MonoTime until) EXCLUDES(mutex_);
  // Those whose time is up.
  [[nodiscard]] std::vector<Ref<Request>> expired(MonoTime now) EXCLUDES(mutex_);
  // When the first expires; max if there is none, and then the timer is off.
  [[nodiscard]] MonoTime next_expiry() EXCLUDES(mutex_);
  [[nodiscard]] std::vector<Ref<Request>> all() const EXCLUDES(mutex_);
  // Takes no more from now on.
  void close() EXCLUDES(mutex_);

 private:
  void link_locked(Request& request, MonoTime until) REQUIRES(mutex_);
  void unlink_locked(Request& request) REQUIRES(mutex_);

  mutable sync::Mutex mutex_{kRequestListLock};
  Request* head_ GUARDED_BY(mutex_) = nullptr;
  Request* tail_ GUARDED_BY(mutex_) = nullptr;
  bool timer_on_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs
