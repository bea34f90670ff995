#pragma once
// LiveFile::Turn: the turn of a caller who may wait: taken by take(), and over with its life.
// Private to LiveFile.

#include <utility>

#include "netfs/live_file.h"

namespace netfs {

class LiveFile::Turn {
 public:
  explicit Turn(LiveFile& file) : file_(file) {}
  ~Turn() {
    if (taken_) file_.end_turn();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  Result<void> take(Deadline deadline) {
    Waiter me;
    sync::MutexLock lock(file_.mutex_);
    if (!file_.turn_taken_ && file_.turns_.empty()) {
      file_.turn_taken_ = true;
      taken_ = true;
      return {};
    }
    file_.turns_.push_back({.write = nullptr, .waiter = &me});
    while (!me.granted) {
      if (!file_.turn_granted_.wait_until(file_.mutex_, deadline.at) && !me.granted) {
        std::erase_if(file_.turns_, [&](const Next& next) { return next.waiter == &me; });
        return Error(ETIMEDOUT, "netfs.turn");
      }
    }
    taken_ = true;
    return {};
  }

 private:
  LiveFile& file_;
  bool taken_ = false;
};

}  // namespace netfs
