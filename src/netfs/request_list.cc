#include "netfs/request_list.h"

#include "base/assert.h"

namespace netfs {

RequestList::~RequestList() {
  NETFS_ASSERT(head_ == nullptr);
}

bool RequestList::add(ReadRequest& request, bool& first) {
  sync::MutexLock lock(mutex_);
  if (closed_) return false;
  request.ref_get();
  request.listed = true;
  request.previous = tail_;
  (tail_ != nullptr ? tail_->next : head_) = &request;
  tail_ = &request;
  first = !timer_on_;
  timer_on_ = true;
  return true;
}

void RequestList::remove(ReadRequest& request) {
  {
    sync::MutexLock lock(mutex_);
    if (!request.listed) return;
    request.listed = false;
    (request.previous != nullptr ? request.previous->next : head_) = request.next;
    (request.next != nullptr ? request.next->previous : tail_) = request.previous;
    request.previous = nullptr;
    request.next = nullptr;
  }
  request.ref_put();
}

std::vector<Ref<ReadRequest>> RequestList::expired(MonoTime now) {
  std::vector<Ref<ReadRequest>> found;
  sync::MutexLock lock(mutex_);
  for (ReadRequest* at = head_; at != nullptr && at->deadline <= now; at = at->next) {
    found.emplace_back(at);
  }
  return found;
}

MonoTime RequestList::next_expiry() {
  sync::MutexLock lock(mutex_);
  timer_on_ = head_ != nullptr && !closed_;
  return timer_on_ ? head_->deadline : MonoTime::max();
}

std::vector<Ref<ReadRequest>> RequestList::all() const {
  std::vector<Ref<ReadRequest>> found;
  sync::MutexLock lock(mutex_);
  for (ReadRequest* at = head_; at != nullptr; at = at->next) found.emplace_back(at);
  return found;
}

void RequestList::close() {
  sync::MutexLock lock(mutex_);
  closed_ = true;
}

}  // namespace netfs
