#include "sync/work_queue.h"

#include <system_error>
#include <utility>

#include "sync/lock_classes.h"

namespace netfs::sync {

WorkQueue::WorkQueue(Options options)
    : options_(std::move(options)), probe_(options_.name.c_str()), mutex_(kWorkQueueLock) {
  if (options_.threads == 0) return;
  started_ = 1;
  Thread first(options_.name + "-0", [this] { run(); });
  MutexLock lock(mutex_);
  threads_.push_back(std::move(first));
}

WorkQueue::~WorkQueue() {
  stop();
}

bool WorkQueue::post(Work work) {
  MutexLock lock(mutex_);
  if (stopping_ || queue_.size() >= options_.depth_max) return false;
  queue_.push_back(std::move(work));
  changed_.notify_one();
  return true;
}

bool WorkQueue::post_at(MonoTime when, Work work) {
  MutexLock lock(mutex_);
  if (stopping_) return false;
  delayed_.emplace(when, std::move(work));
  changed_.notify_one();
  return true;
}

bool WorkQueue::drain(MonoTime until) {
  probe_.waiting();
  MutexLock lock(mutex_);
  while (!queue_.empty() || running_ > 0) {
    if (!idle_.wait_until(mutex_, until)) return queue_.empty() && running_ == 0;
  }
  return true;
}

void WorkQueue::stop() {
  std::multimap<MonoTime, Work> dropped;  // destroyed without the lock: work owns things
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    dropped.swap(delayed_);
    changed_.notify_all();
  }
  // What is queued still may need more of them.
  for (std::vector<Thread> threads;; threads.clear()) {
    {
      MutexLock lock(mutex_);
      while (starting_ > 0) idle_.wait(mutex_);
      threads.swap(threads_);
    }
    if (threads.empty()) return;
    for (Thread& thread : threads) thread.join();
  }
}

size_t WorkQueue::depth() const {
  MutexLock lock(mutex_);
  return queue_.size();
}

size_t WorkQueue::unfinished() const {
  MutexLock lock(mutex_);
  return queue_.size() + running_;
}

MonoTime WorkQueue::promote_due_locked() {
  if (delayed_.empty()) return MonoTime::max();
  const MonoTime now = Clock::system().now();
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    queue_.push_back(std::move(delayed_.begin()->second));
    delayed_.erase(delayed_.begin());
    changed_.notify_one();
  }
  return delayed_.empty() ? MonoTime::max() : delayed_.begin()->first;
}

// By a thread of the queue, which stop() joins: it waits for this one to be known, too.
void WorkQueue::start_thread(unsigned number) {
  Thread thread;
  try {
    thread = Thread(options_.name + "-" + std::to_string(number), [this] { run(); });
  } catch (const std::system_error&) {
    // The next work that nobody waits behind tries again.
  }
  MutexLock lock(mutex_);
  --starting_;
  if (thread.joinable()) {
    threads_.push_back(std::move(thread));
  } else {
    --started_;
  }
  idle_.notify_all();
}

void WorkQueue::run() {
  MutexLock lock(mutex_);
  for (;;) {
    const MonoTime next_due = promote_due_locked();
    if (queue_.empty()) {
      if (stopping_) return;
      ++waiting_;
      changed_.wait_until(mutex_, next_due);
      --waiting_;
      continue;
    }
    Work work = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    const bool last = waiting_ == 0 && started_ < options_.threads;
    const unsigned number = started_;
    if (last) {
      ++started_;
      ++starting_;
    }
    lock.unlock();
    if (last) start_thread(number);
    probe_.begins();
    work();
    work = Work();  // what it owned goes before we count as idle
    probe_.ends();
    lock.lock();
    --running_;
    if (queue_.empty() && running_ == 0) idle_.notify_all();
  }
}

}  // namespace netfs::sync
