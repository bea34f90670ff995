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
    {
      sync::MutexLock lock(file_.mutex_);
      file_.turns_.add(me_);
    }
    file_.next_turn();
    sync::MutexLock lock(file_.mutex_);
    while (!me_.granted) {
      if (!file_.turn_granted_.wait_until(file_.mutex_, deadline.at) && !me_.granted) {
        file_.turns_.remove(me_);
        return Error(ETIMEDOUT, "netfs.turn");
      }
    }
    taken_ = true;
    return {};
  }

 private:
  LiveFile& file_;
  WriteTurns::Waiter me_;
  bool taken_ = false;
};

}  // namespace netfs
