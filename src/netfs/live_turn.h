#pragma once
// LiveFile::Turn: the turn of a caller who may wait: taken by take(), and over with its life.
// Private to LiveFile.

#include <algorithm>
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

  // What it waits for those that are held back by a limit of bandwidth does not count.
  Result<void> take(Deadline& deadline) {
    {
      sync::MutexLock lock(file_.mutex_);
      file_.turns_.add(me_);
    }
    file_.next_turn();
    sync::MutexLock lock(file_.mutex_);
    MonoTime until = deadline.at;
    while (!me_.granted) {
      if (file_.turn_granted_.wait_until(file_.mutex_, until) || me_.granted) continue;
      const Deadline another = file_.core_->deadline();
      const MonoTime now = file_.core_->now();
      until = std::min(file_.held_until_locked().value_or(now), another.at);
      if (until > now) continue;
      file_.turns_.remove(me_);
      return Error(ETIMEDOUT, "netfs.turn");
    }
    taken_ = true;
    if (file_.held_back_) deadline.at = std::max(deadline.at, file_.core_->deadline().at);
    return {};
  }

 private:
  LiveFile& file_;
  WriteTurns::Waiter me_;
  bool taken_ = false;
};

}  // namespace netfs
