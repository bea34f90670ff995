#include "netfs/pace.h"

#include <algorithm>
#include <utility>

namespace netfs {

Pace::~Pace() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Pace::set(uint64_t bytes_per_second) {
  bool first = false;
  {
    sync::MutexLock lock(mutex_);
    bytes_per_second_ = bytes_per_second;
    free_at_ = Clock::system().now();
    if (bytes_per_second > 0) first = !std::exchange(started_, true);
    changed_.notify_all();
  }
  if (first) thread_ = sync::Thread(thread_name_, [this] { run(); });
}

void Pace::wait(uint64_t bytes, Turn turn) {
  {
    sync::MutexLock lock(mutex_);
    if (bytes_per_second_ > 0 || !waiting_.empty()) {
      waiting_.push_back({bytes, std::move(turn)});
      changed_.notify_all();
      return;
    }
  }
  turn();
}

void Pace::run() {
  sync::MutexLock lock(mutex_);
  while (!stopping_) {
    if (waiting_.empty()) {
      changed_.wait(mutex_);
      continue;
    }
    const MonoTime now = Clock::system().now();
    if (bytes_per_second_ > 0 && now < free_at_) {
      changed_.wait_until(mutex_, free_at_);
      continue;
    }
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    if (bytes_per_second_ > 0) {
      const double seconds =
          static_cast<double>(next.bytes) / static_cast<double>(bytes_per_second());
      free_at_ = std::max(now, free_at_) + Duration(static_cast<int64_t>(seconds * 1e9));
    }
    lock.unlock();
    next.turn();
    next.turn = Turn();
    lock.lock();
  }
}

}  // namespace netfs
