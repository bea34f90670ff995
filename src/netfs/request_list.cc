#include "netfs/request_list.h"

#include "base/assert.h"

namespace netfs {

RequestList::~RequestList() {
  NETFS_ASSERT(head_ == nullptr);
}

bool RequestList::add(Request& request, bool& first) {
  sync::MutexLock lock(mutex_);
  if (closed_) return false;
  request.ref_get();
  request.listed_ = true;
  link_locked(request, request.deadline);
  first = !timer_on_;
  timer_on_ = true;
  return true;
}

void RequestList::remove(Request& request) {
  {
    sync::MutexLock lock(mutex_);
    if (!request.listed_) return;
    request.listed_ = false;
    unlink_locked(request);
  }
  request.ref_put();
}

// Behind all that expire no later, which are nearly all.
void RequestList::link_locked(Request& request, MonoTime until) {
  request.listed_until_ = until;
  Request* before = tail_;
  while (before != nullptr && before->listed_until_ > until) before = before->previous_;
  request.previous_ = before;
  request.next_ = before != nullptr ? before->next_ : head_;
  (before != nullptr ? before->next_ : head_) = &request;
  (request.next_ != nullptr ? request.next_->previous_ : tail_) = &request;
}

void RequestList::unlink_locked(Request& request) {
  (request.previous_ != nullptr ? request.previous_->next_ : head_) = request.next_;
  (request.next_ != nullptr ? request.next_->previous_ : tail_) = request.previous_;
  request.previous_ = nullptr;
  request.next_ = nullptr;
}

void RequestList::postpone(Request& request, MonoTime until) {
  sync::MutexLock lock(mutex_);
  if (!request.listed_) return;
  unlink_locked(request);
  link_locked(request, until);
}

std::vector<Ref<Request>> RequestList::expired(MonoTime now) {
  std::vector<Ref<Request>> found;
  sync::MutexLock lock(mutex_);
  for (Request* at = head_; at != nullptr && at->listed_until_ <= now; at = at->next_) {
    found.emplace_back(at);
  }
  return found;
}

MonoTime RequestList::next_expiry() {
  sync::MutexLock lock(mutex_);
  timer_on_ = head_ != nullptr && !closed_;
  return timer_on_ ? head_->listed_until_ : MonoTime::max();
}

std::vector<Ref<Request>> RequestList::all() const {
  std::vector<Ref<Request>> found;
  sync::MutexLock lock(mutex_);
  for (Request* at = head_; at != nullptr; at = at->next_) found.emplace_back(at);
  return found;
}

void RequestList::close() {
  sync::MutexLock lock(mutex_);
  closed_ = true;
}

}  // namespace netfs
