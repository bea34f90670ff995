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
  request.previous_ = tail_;
  (tail_ != nullptr ? tail_->next_ : head_) = &request;
  tail_ = &request;
  first = !timer_on_;
  timer_on_ = true;
  return true;
}

void RequestList::remove(Request& request) {
  {
    sync::MutexLock lock(mutex_);
    if (!request.listed_) return;
    request.listed_ = false;
    (request.previous_ != nullptr ? request.previous_->next_ : head_) = request.next_;
    (request.next_ != nullptr ? request.next_->previous_ : tail_) = request.previous_;
    request.previous_ = nullptr;
    request.next_ = nullptr;
  }
  request.ref_put();
}

std::vector<Ref<Request>> RequestList::expired(MonoTime now) {
  std::vector<Ref<Request>> found;
  sync::MutexLock lock(mutex_);
  for (Request* at = head_; at != nullptr && at->deadline <= now; at = at->next_) {
    found.emplace_back(at);
  }
  return found;
}

MonoTime RequestList::next_expiry() {
  sync::MutexLock lock(mutex_);
  timer_on_ = head_ != nullptr && !closed_;
  return timer_on_ ? head_->deadline : MonoTime::max();
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
