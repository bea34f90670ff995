// When what was appended becomes durable.

#include <algorithm>

#include "journal/journal_log.h"
#include "telemetry/log.h"

namespace netfs::journal {

namespace {

// How often it is looked whether something has waited too long.
constexpr Duration kTick = std::chrono::milliseconds(500);

}  // namespace

Result<void> JournalLog::sync(uint64_t sequence) {
  sync::MutexLock lock(mutex_);
  while (durable_ < sequence) {
    TRY(usable_locked());
    if (syncing_) {
      changed_.wait(mutex_);
      continue;
    }
    syncing_ = true;
    const Result<void> synced = sync_written(next_sequence_ - 1);
    syncing_ = false;
    changed_.notify_all();
    TRY(synced);
  }
  return {};
}

// All up to it, without the lock while the disk works.
Result<void> JournalLog::sync_written(uint64_t sequence) {
  TRY(wait_for_all_locked(sequence));
  std::vector<SegmentRef> dirty;
  bool named = true;
  for (const SegmentRef& segment : segments_) {
    // One that is not durable itself hides, empty or not, what comes behind it.
    if (segment->named && segment->last_sequence <= durable_) continue;
    dirty.push_back(segment);
    named = named && segment->named;
  }
  oldest_unsynced_ = MonoTime::max();
  if (next_sequence_ - 1 > sequence) oldest_unsynced_ = options_.clock.now();
  mutex_.unlock();
  Result<void> synced;
  for (const SegmentRef& segment : dirty) {
    if (synced.ok()) synced = segment->file->sync_data();
  }
  if (synced.ok() && !named) synced = options_.disk.sync_directory(options_.directory);
  mutex_.lock();
  if (synced.ok()) {
    for (const SegmentRef& segment : dirty) segment->named = true;
    durable_ = std::max(durable_, sequence);
    return {};
  }
  // What it has dropped it will not say: a second attempt would be believed wrongly.
  if (!broken_) {
    broken_ = synced.error();
    telemetry::log_error("journal", "{}: {}; nothing more can be changed", options_.directory,
                         synced.error().message());
  }
  return usable_locked();
}

// Sees to it that nothing waits longer than it may.
void JournalLog::run() {
  sync::MutexLock lock(mutex_);
  while (!stopping_) {
    changed_.wait_until(mutex_, Clock::system().now() + kTick);
    if (stopping_ || broken_ || oldest_unsynced_ == MonoTime::max()) continue;
    if (options_.clock.now() < oldest_unsynced_ + options_.sync_after - 2 * kTick) continue;
    const uint64_t last = next_sequence_ - 1;
    lock.unlock();
    (void)sync(last);
    lock.lock();
  }
}

}  // namespace netfs::journal
