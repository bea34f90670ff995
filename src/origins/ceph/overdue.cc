#include "origins/ceph/overdue.h"

namespace netfs::origins::ceph {

Overdue::Overdue() : thread_("netfs-ceph-late", [this] { run(); }) {}

Overdue::~Overdue() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

Overdue::Ticket Overdue::add(Deadline deadline, UniqueFunction<void()> late) {
  sync::MutexLock lock(mutex_);
  const Ticket ticket(deadline.at, ++last_);
  const bool is_first = waiting_.empty() || ticket < waiting_.begin()->first;
  waiting_.emplace(ticket, std::move(late));
  if (is_first) changed_.notify_all();
  return ticket;
}

bool Overdue::has(const Ticket& ticket) {
  sync::MutexLock lock(mutex_);
  return waiting_.contains(ticket);
}

bool Overdue::claim(const Ticket& ticket) {
  UniqueFunction<void()> late;  // let go of without the lock
  sync::MutexLock lock(mutex_);
  const auto found = waiting_.find(ticket);
  if (found == waiting_.end()) return false;
  late = std::move(found->second);
  waiting_.erase(found);
  lock.unlock();
  return true;
}

void Overdue::run() {
  sync::MutexLock lock(mutex_);
  while (!stopping_) {
    if (waiting_.empty()) {
      changed_.wait(mutex_);
      continue;
    }
    const auto first = waiting_.begin();
    const MonoTime due = first->first.first;
    if (!Deadline{due}.passed(Clock::system().now())) {
      (void)changed_.wait_until(mutex_, due);
      continue;
    }
    UniqueFunction<void()> late = std::move(first->second);
    waiting_.erase(first);
    lock.unlock();
    late();
    lock.lock();
  }
}

}  // namespace netfs::origins::ceph
