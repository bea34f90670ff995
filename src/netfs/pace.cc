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

Duration Pace::time_of(uint64_t bytes) const {
  const uint64_t rate = bytes_per_second_;
  if (rate == 0) return Duration(0);
  const double seconds = static_cast<double>(bytes) / static_cast<double>(rate);
  return Duration(static_cast<int64_t>(seconds * 1e9));
}

void Pace::give_back(uint64_t bytes) {
  sync::MutexLock lock(mutex_);
  free_at_ -= time_of(bytes);
  changed_.notify_all();
}

// The first that somebody waits for, or the first.
Pace::Waiting Pace::take_next_locked() {
  auto next = std::find_if(waiting_.begin(), waiting_.end(),
                           [](Waiting& one) { return !one.is_awaited || one.is_awaited(); });
  if (next == waiting_.end()) next = waiting_.begin();
  Waiting taken = std::move(*next);
  waiting_.erase(next);
  return taken;
}

void Pace::wait(uint64_t bytes, Turn turn, IsAwaited is_awaited) {
  {
    sync::MutexLock lock(mutex_);
    if (bytes_per_second_ > 0 || !waiting_.empty()) {
      waiting_.push_back({bytes, std::move(turn), std::move(is_awaited)});
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
    Waiting next = take_next_locked();
    free_at_ = std::max(now, free_at_) + time_of(next.bytes);
    lock.unlock();
    next.turn();
    next = Waiting();
    lock.lock();
  }
}

}  // namespace netfs
