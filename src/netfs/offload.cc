#include "netfs/offload.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "netfs/lock_classes.h"
#include "sync/context.h"
#include "telemetry/log.h"

namespace netfs {

namespace {
// A disk that has ended no store for so long stands still: frozen, or as good as that.
constexpr Duration kStandstill = std::chrono::milliseconds(300);
}  // namespace

Offload::Offload(std::unique_ptr<CacheWriter> writer, Options options)
    : writer_(std::move(writer)),
      options_(options),
      mutex_(kOffloadLock),
      maintain_due_(Clock::system().now() + options.maintain_interval),
      store_thread_("netfs-store", [this] { run_stores(); }),
      commit_thread_("netfs-commit", [this] { run_commits(); }) {
  NETFS_ASSERT(writer_ != nullptr);
}

Offload::~Offload() {
  close(Deadline{});
}

bool Offload::store(Store store) {
  const size_t bytes = store.data.length_bytes;
  Ref<StoreTicket> ticket = store.ticket;
  stats_.stores.issued.add();
  {
    sync::MutexLock lock(mutex_);
    if (!closing_ && queued_bytes_ + bytes <= options_.queue_bytes_max) {
      queued_bytes_ += bytes;
      stats_.queued_bytes.store(queued_bytes_, std::memory_order_relaxed);
      queue_.push_back({.store = std::move(store)});
      changed_.notify_all();
      return true;
    }
  }
  stats_.dropped.add();
  if (ticket) ticket->settle(StoreTicket::State::kDropped);
  return false;
}

bool Offload::forget(Forget what, UniqueFunction<void()> done) {
  sync::MutexLock lock(mutex_);
  if (closing_) return false;
  Job job;
  job.forget = std::move(what);
  job.forgotten = std::move(done);
  queue_.push_back(std::move(job));
  changed_.notify_all();
  return true;
}

bool Offload::after_stores(UniqueFunction<void()> task) {
  sync::MutexLock lock(mutex_);
  if (closing_) return false;
  Job job;
  job.task = std::move(task);
  queue_.push_back(std::move(job));
  changed_.notify_all();
  return true;
}

void Offload::discard(Ref<Cookie> cookie) {
  sync::MutexLock lock(mutex_);
  if (closing_) return;
  queue_.push_back({.store = {.cookie = std::move(cookie)}, .is_discard = true});
  changed_.notify_all();
}

bool Offload::quiet_locked() const {
  return queue_.empty() && !storing_ && !dirty_ && !committing_;
}

bool Offload::drain(Deadline deadline) {
  sync::MutexLock lock(mutex_);
  ++draining_;
  changed_.notify_all();
  bool in_time = true;
  while (!quiet_locked() && in_time) in_time = changed_.wait_until(mutex_, deadline.at);
  --draining_;
  return quiet_locked();
}

bool Offload::close(Deadline deadline) {
  drain(deadline);
  drop_queue();
  {
    sync::MutexLock lock(mutex_);
    while (threads_running_ > 0) {
      if (!changed_.wait_until(mutex_, deadline.at) && threads_running_ > 0) return false;
    }
  }
  store_thread_.join();
  commit_thread_.join();
  return true;
}

// Ends the threads once they have finished what they are at.
void Offload::drop_queue() {
  std::deque<Job> dropped;
  {
    sync::MutexLock lock(mutex_);
    closing_ = true;
    dropped.swap(queue_);
    for (const Job& job : dropped) queued_bytes_ -= job.store.data.length_bytes;
    stats_.queued_bytes.store(queued_bytes_, std::memory_order_relaxed);
    changed_.notify_all();
  }
  for (const Job& job : dropped) {
    if (job.is_discard || job.forget.volume || job.task) continue;
    stats_.dropped.add();
    if (job.store.ticket) job.store.ticket->settle(StoreTicket::State::kDropped);
  }
}

void Offload::run_stores() {
  sync::MutexLock lock(mutex_);
  for (;;) {
    while (queue_.empty() && !closing_) changed_.wait(mutex_);
    if (queue_.empty()) break;
    Job job = std::move(queue_.front());
    queue_.pop_front();
    const size_t bytes = job.store.data.length_bytes;
    storing_ = true;
    lock.unlock();
    work(std::move(job));
    lock.lock();
    storing_ = false;
    dirty_ = true;
    queued_bytes_ -= bytes;
    uncommitted_bytes_ += bytes;
    stats_.queued_bytes.store(queued_bytes_, std::memory_order_relaxed);
    last_stored_.store(Clock::system().now().time_since_epoch().count(), std::memory_order_relaxed);
    if (commit_due_ == MonoTime::max()) {
      commit_due_ = Clock::system().now() + options_.commit_interval;
    }
    changed_.notify_all();
  }
  --threads_running_;
  changed_.notify_all();
}

void Offload::work(Job job) {
  // The founding rule at run time: this thread works for nobody who waits.
  NETFS_ASSERT(sync::Context::current() == nullptr);
  Store& store = job.store;
  if (job.task) return job.task();
  if (job.forget.volume) {
    stats_.forgets.add();
    const Result<void> gone =
        writer_->forget(*job.forget.volume, job.forget.path, job.forget.scope);
    // An index that cannot be read gives nothing out either; it is rebuilt empty.
    if (!gone.ok()) {
      telemetry::log_warn("offload", "{} was not forgotten: {}", job.forget.path,
                          gone.error().message());
    }
    job.forgotten();
    return;
  }
  if (job.is_discard) {
    stats_.discards.add();
    writer_->discard(*store.cookie);
    return;
  }
  const MonoTime began = Clock::system().now();
  const Result<void> stored = writer_->store(*store.cookie, store.first, store.data.bytes());
  stats_.store_latency.record(Clock::system().now() - began);
  if (stored.ok()) {
    stats_.stores.done.add();
    stats_.stored_bytes.add(store.data.length_bytes);
    writer_->may_seal(*store.cookie);
  } else {
    stats_.stores.failed.add();
    telemetry::log_debug("offload", "block {} of {} was not stored: {}", store.first.value,
                         store.cookie->key().path, stored.error().message());
  }
  if (store.ticket) {
    store.ticket->settle(stored.ok() ? StoreTicket::State::kStored : StoreTicket::State::kDropped);
  }
}

bool Offload::lags() const {
  // A quarter: what is on its way when readahead stops must still fit.
  if (stats_.queued_bytes.load(std::memory_order_relaxed) < options_.queue_bytes_max / 4) {
    return false;
  }
  const MonoTime last{MonoTime::duration(last_stored_.load(std::memory_order_relaxed))};
  return Clock::system().now() - last < kStandstill;
}

bool Offload::wait_for_commit_locked() {
  for (;;) {
    const MonoTime now = Clock::system().now();
    if (now >= maintain_due_) return true;
    const bool hurry = closing_ || uncommitted_bytes_ >= options_.commit_bytes ||
                       (draining_ > 0 && queue_.empty() && !storing_);
    if (dirty_ && (hurry || now >= commit_due_)) return true;
    if (closing_ && !storing_) return false;
    changed_.wait_until(mutex_, std::min(dirty_ ? commit_due_ : MonoTime::max(), maintain_due_));
  }
}

void Offload::run_commits() {
  sync::MutexLock lock(mutex_);
  while (wait_for_commit_locked()) {
    const bool commit = dirty_;
    const bool maintain = Clock::system().now() >= maintain_due_;
    if (maintain) maintain_due_ = Clock::system().now() + options_.maintain_interval;
    dirty_ = false;
    uncommitted_bytes_ = 0;
    commit_due_ = MonoTime::max();
    committing_ = true;
    lock.unlock();
    if (commit) {
      stats_.commits.issued.add();
      const Result<void> committed = writer_->commit();
      (committed.ok() ? stats_.commits.done : stats_.commits.failed).add();
      if (!committed.ok()) {
        telemetry::log_warn("offload", "commit failed: {}", committed.error().message());
      }
    }
    if (maintain) writer_->maintain();
    lock.lock();
    committing_ = false;
    changed_.notify_all();
  }
  --threads_running_;
  changed_.notify_all();
}

}  // namespace netfs
