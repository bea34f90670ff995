#pragma once
// WorkQueue: a bounded queue of work and the threads that do it.
//
// Two queues never share threads, so the workers that store cannot use up those that read.  Work
// runs with no adopted context; it adopts its request's own.  post() never blocks: a full queue
// refuses, and the caller says what that means (drop a store, answer EAGAIN).  Delayed work does
// not count as queued until it is due.
//
// Threads are started as they are needed, and stay: whoever begins work and leaves nobody waiting
// for more starts the next one, so post() finds a thread that waits until all are at work.  What
// begins with a few hundred threads that it may need is slow to begin.  Where the system gives no
// more of them, those that there are do the work.
//
// Thread-safe.  The destructor is stop().
//
//   WorkQueue stores({.name = "netfs-store", .threads = 2, .depth_max = 1024});
//   if (!stores.post([...] { ... })) ++dropped;

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_function.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"
#include "sync/thread_probe.h"

namespace netfs::sync {

class WorkQueue {
 public:
  using Work = UniqueFunction<void()>;

  struct Options {
    std::string name;             // of its threads; "-N" is appended
    unsigned threads = 1;         // at most
    size_t depth_max = SIZE_MAX;  // work queued and not begun
  };

  explicit WorkQueue(Options options);
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // False when the queue is full or stopped; the work is then dropped unrun.
  [[nodiscard]] bool post(Work work) EXCLUDES(mutex_);
  // Runs `work` no earlier than `when`.  False when stopped.
  [[nodiscard]] bool post_at(MonoTime when, Work work) EXCLUDES(mutex_);

  // Waits until nothing is queued or running (delayed work not counted); false at the deadline.
  bool drain(MonoTime until) EXCLUDES(mutex_);
  // Refuses new work, drops what is delayed, runs what is queued, joins.  Idempotent.
  void stop() EXCLUDES(mutex_);

  [[nodiscard]] size_t depth() const EXCLUDES(mutex_);
  // With what is being run; delayed work not counted.
  [[nodiscard]] size_t unfinished() const EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);
  void start_thread(unsigned number) EXCLUDES(mutex_);
  // Moves delayed work that is due to the queue; returns when the next one is.
  MonoTime promote_due_locked() REQUIRES(mutex_);

  const Options options_;
  WorkProbe probe_;
  mutable Mutex mutex_;
  CondVar changed_;  // queued work, delayed work or stopping
  CondVar idle_;
  std::deque<Work> queue_ GUARDED_BY(mutex_);
  std::multimap<MonoTime, Work> delayed_ GUARDED_BY(mutex_);
  unsigned running_ GUARDED_BY(mutex_) = 0;
  unsigned waiting_ GUARDED_BY(mutex_) = 0;   // threads without work
  unsigned started_ GUARDED_BY(mutex_) = 0;   // threads, with those being started
  unsigned starting_ GUARDED_BY(mutex_) = 0;  // those
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<Thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace netfs::sync
