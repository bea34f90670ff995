#pragma once
// RequestList: the live requests, oldest first; it times them out and can be shown to people.
//
// All requests have the same timeout, so the front is the first to expire and one timer is enough.
// Thread-safe.

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
  // Those whose time is up, oldest first.
  [[nodiscard]] std::vector<Ref<Request>> expired(MonoTime now) EXCLUDES(mutex_);
  // When the oldest expires; max if there is none, and then the timer is off.
  [[nodiscard]] MonoTime next_expiry() EXCLUDES(mutex_);
  [[nodiscard]] std::vector<Ref<Request>> all() const EXCLUDES(mutex_);
  // Takes no more from now on.
  void close() EXCLUDES(mutex_);

 private:
  mutable sync::Mutex mutex_{kRequestListLock};
  Request* head_ GUARDED_BY(mutex_) = nullptr;
  Request* tail_ GUARDED_BY(mutex_) = nullptr;
  bool timer_on_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs
