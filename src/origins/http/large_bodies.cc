#include "origins/http/large_bodies.h"

#include <cerrno>

namespace netfs::origins::http {

LargeBodies::Turn LargeBodies::try_take() {
  sync::MutexLock lock(mutex_);
  return std::exchange(taken_, true) ? Turn() : Turn(*this);
}

Result<LargeBodies::Turn> LargeBodies::take(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  while (taken_) {
    if (!given_back_.wait_until(mutex_, deadline.at) && taken_) {
      return Error(ETIMEDOUT, "http.list", "other large listings took all of its time");
    }
  }
  taken_ = true;
  return Turn(*this);
}

void LargeBodies::give_back() {
  sync::MutexLock lock(mutex_);
  taken_ = false;
  // All: one that has just given up takes none.
  given_back_.notify_all();
}

}  // namespace netfs::origins::http
