// Kept writes: those who wait until they have landed, and those who must hear of one that has not.

#include <utility>

#include "netfs/live_file.h"
#include "netfs/read_retry.h"
#include "telemetry/log.h"

namespace netfs {

void LiveFile::watch(Ref<LandingWatch> watch) {
  sync::MutexLock lock(mutex_);
  watch_ = std::move(watch);
}

void LiveFile::settle(Settled done) {
  if (dirty()) {
    bool waits = false;
    {
      sync::MutexLock lock(mutex_);
      waits = turns_.when_settled(done);
    }
    // A small one may have waited for its neighbours.
    if (waits) return next_turn();
  }
  done();
}

WriteErrors LiveFile::write_errors() const {
  sync::MutexLock lock(mutex_);
  return errors_;
}

void LiveFile::saw(const Validator& validator) {
  sync::MutexLock lock(mutex_);
  if (turns_.kept_count() == 0 && !turns_.any_changing()) last_seen_ = validator;
}

uint64_t LiveFile::kept_end_bytes() const {
  if (!dirty()) return 0;
  sync::MutexLock lock(mutex_);
  return turns_.kept_end_bytes();
}

// Whoever asks next is told.  What waits for its turn without a time limit fails with it where the
// origin cannot be reached: each would cost its writer, or whoever closes the file, one timeout
// more.
std::vector<Ref<WriteRequest>> LiveFile::note_failure_locked(const WriteRequest& failed, int code) {
  std::vector<Ref<WriteRequest>> behind;
  const bool hopeless = is_unreachable(code) || code == ETIMEDOUT || code == ECANCELED;
  if (hopeless) behind = turns_.remove_untimed();
  bool untold = failed.kept();
  for (const Ref<WriteRequest>& one : behind) untold = untold || one->kept();
  // No other file has had it: a file that is opened anew goes on where no handle has been.
  if (untold) errors_ = {.serial = core_->next_request_id.fetch_add(1), .last = code};
  return behind;
}

// One line, however many writes wait behind the one that failed.
void LiveFile::report_loss(const WriteRequest& failed, uint64_t landed_bytes,
                           const std::vector<Ref<WriteRequest>>& behind, int code) {
  uint64_t lost = failed.kept() ? failed.range.length_bytes - landed_bytes : 0;
  for (const Ref<WriteRequest>& one : behind) {
    if (one->kept()) lost += one->range.length_bytes;
  }
  if (lost == 0) return;
  core_->stats.bytes_lost.add(lost);
  telemetry::log_warn("netfs", "{}: {} bytes were not written: {}", path(), lost,
                      Error(code, "origin").message());
}

void LiveFile::land(const Ref<WriteRequest>& request, Result<Written> result) {
  const bool whole = result.ok() && result.value().bytes == request->range.length_bytes;
  Ref<LandingWatch> watch;
  int error = 0;
  {
    sync::MutexLock lock(mutex_);
    watch = watch_;
    if (!whole) error = errors_.last;
  }
  Witnessed witnessed;
  if (result.ok()) witnessed = std::move(result.value().witnessed);
  if (watch) watch->landed(std::move(witnessed), error);
  settled(*request);
}

// Of kept ones that fail with one that was not kept.
void LiveFile::tell_of_loss(const std::vector<Ref<WriteRequest>>& lost, int code) {
  bool any = false;
  for (const Ref<WriteRequest>& one : lost) any = any || one->kept();
  Ref<LandingWatch> watch;
  {
    sync::MutexLock lock(mutex_);
    if (any) watch = watch_;
  }
  if (watch) watch->landed({}, code);
}

// Whoever must know does.
void LiveFile::settled(const WriteRequest& request) {
  core_->dirty.release(request.kept_bytes);
  core_->stats.bytes_dirty.fetch_sub(request.range.length_bytes);
  drop_copies(request.copies);
  std::vector<Settled> waiting;
  {
    sync::MutexLock lock(mutex_);
    waiting = turns_.settled(request);
    kept_writes_.store(turns_.kept_count());
    if (turns_.kept_count() == 0) core_->dirty.leave(*this);
  }
  for (Settled& done : waiting) done();
}

// Its turn will not come; the one that it fails with was told of.
void LiveFile::end_unbegun(const Ref<WriteRequest>& request, const Error& error) {
  {
    sync::MutexLock lock(mutex_);
    if (request->finished) return;
    request->finished = true;
  }
  core_->requests.remove(*request);
  if (request->kept()) return settled(*request);
  core_->stats.writes.failed.add();
  request->done(error);
}

void LiveFile::give_up(const Error& error) {
  std::vector<Ref<WriteRequest>> waiting;
  {
    sync::MutexLock lock(mutex_);
    waiting = turns_.remove_untimed();
    if (waiting.empty()) return;
    errors_ = {.serial = core_->next_request_id.fetch_add(1), .last = error.code()};
  }
  uint64_t lost = 0;
  for (const Ref<WriteRequest>& request : waiting) {
    if (request->kept()) lost += request->range.length_bytes;
  }
  core_->stats.bytes_lost.add(lost);
  telemetry::log_warn("netfs", "{}: {} bytes were not written: {}", path(), lost, error.message());
  tell_of_loss(waiting, error.code());
  for (const Ref<WriteRequest>& request : waiting) end_unbegun(request, error);
}

}  // namespace netfs
