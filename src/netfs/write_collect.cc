// Outcomes of parts; a write is collected from the front once none is in flight, and finished.

#include <utility>

#include "netfs/live_file.h"
#include "netfs/read_retry.h"

namespace netfs {

void LiveFile::write_piece_ended(const Ref<WriteRequest>& request, size_t index,
                                 const std::shared_ptr<OriginFile>& handle, WriteOutcome outcome) {
  sync::ContextScope scope(request->context);
  std::shared_ptr<OriginFile> lost;  // destroyed without the lock
  bool more = false;
  bool last = false;
  {
    sync::MutexLock lock(mutex_);
    WriteStream& stream = request->origin;
    WritePart& part = stream.parts[index];
    NETFS_ASSERT(part.state == WritePartState::kInFlight);
    last = --stream.in_flight == 0;
    if (!outcome.transferred_bytes.ok()) {
      part.error = outcome.transferred_bytes.error();
      const bool useless =
          needs_reopen(part.error->code(), core_->capabilities.handles_outlive_connections);
      if (useless && write_handle_ == handle) {
        lost = std::exchange(write_handle_, nullptr);
        if (read_handle_ == handle) read_handle_ = nullptr;
      }
    } else if (outcome.transferred_bytes.value() > part.range.length_bytes) {
      part.error = Error(EPROTO, "netfs.write", "the origin took more than it was given");
    } else {
      part.done_bytes = outcome.transferred_bytes.value();
      core_->stats.bytes_uploaded.add(part.done_bytes);
      if (part.done_bytes == 0) {
        part.error = Error(EIO, "netfs.write");
      } else {
        request->failures = 0;
      }
    }
    const bool whole = part.done_bytes == part.range.length_bytes;
    part.state = whole ? WritePartState::kDone : WritePartState::kFailed;
    if (!request->seen.before) request->seen.before = std::move(outcome.seen.before);
    // What was seen after the last part counts only if nothing was in flight any more.
    request->seen.after = last ? std::move(outcome.seen.after) : std::nullopt;
    more = whole && request->pieces == WritePieces::kOneByOne && stream.front() != nullptr;
  }
  if (more) return issue_write(request);
  if (last) collect_write(request);
}

// Nothing is in flight.
void LiveFile::collect_write(const Ref<WriteRequest>& request) {
  Written written;
  std::optional<Error> error;
  bool whole = false;
  bool over = false;
  {
    sync::MutexLock lock(mutex_);
    const WriteStream& stream = request->origin;
    over = request->finished;
    written.bytes = stream.collected_bytes();
    if (const WritePart* front = stream.front()) {
      error = front->error;  // none: the origin took a part of it
    } else {
      whole = true;
      // Beside other writes nobody knows which of them it shows.
      if (!request->alone) request->seen = {};
      const size_t others = turns_.kept_count() - (request->kept() ? 1 : 0);
      written.witnessed = witness_locked(std::move(request->seen), others);
    }
  }
  if (over) return end_turn(*request);  // answered already: it was timed out
  if (!whole) return retry_write(request, error);
  finish_write(request, std::move(written));
  end_turn(*request);
}

void LiveFile::finish_write(const Ref<WriteRequest>& request, Result<Written> result) {
  const uint64_t landed = result.ok() ? result.value().bytes : 0;
  const bool whole = landed == request->range.length_bytes;
  const int code = result.ok() ? result.value().stopped_by : result.code();
  std::vector<Ref<WriteRequest>> behind;
  {
    sync::MutexLock lock(mutex_);
    if (request->finished) return;
    request->finished = true;
    failing_ = !whole;
    if (!whole) behind = note_failure_locked(*request, code);
  }
  core_->requests.remove(*request);
  if (!whole) report_loss(*request, landed, behind, code);
  LibraryStats& stats = core_->stats;
  if (result.ok() && result.value().witnessed.foreign) stats.foreign_changes.add();
  if (request->kept()) {
    land(request, std::move(result));
  } else {
    (result.ok() ? stats.writes.done : stats.writes.failed).add();
    if (result.ok()) {
      stats.bytes_written.add(landed);
      stats.write_latency.record(core_->now() - request->began);
    }
    request->done(std::move(result));
    tell_of_loss(behind, code);
  }
  for (const Ref<WriteRequest>& one : behind) end_unbegun(one, Error(code, "netfs.write"));
}

// Timed out or canceled; what is in flight keeps the turn until it ends.  One that waits for its
// turn, or for a timer that may be gone, leaves now: nothing else will end it when the library is
// closed.
void LiveFile::end_write(WriteRequest& request, Error error) {
  const Ref<WriteRequest> self(&request);
  finish_write(self, std::move(error));
  bool rested = false;
  {
    sync::MutexLock lock(mutex_);
    turns_.remove(request);
    rested = std::exchange(request.resting, false);
  }
  if (rested) end_turn(request);
}

std::string LiveFile::what_it_waits_for(const WriteRequest& request) const {
  sync::MutexLock lock(mutex_);
  if (request.finished) return "its answer to be taken";
  if (request.origin.parts.empty()) return "the write before it";
  std::string text = "origin, write: " + std::to_string(request.origin.in_flight) + " of " +
                     std::to_string(request.origin.parts.size());
  if (request.failures > 0) text += " (after failure " + std::to_string(request.failures) + ")";
  return text;
}

}  // namespace netfs
