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
      if (needs_reopen(part.error->code()) && write_handle_ == handle) {
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
      written.witnessed = witness_locked(std::move(request->seen));
    }
  }
  if (over) return end_turn();  // answered already: it was timed out
  if (!whole) return retry_write(request, error);
  finish_write(request, std::move(written));
  end_turn();
}

void LiveFile::finish_write(const Ref<WriteRequest>& request, Result<Written> result) {
  {
    sync::MutexLock lock(mutex_);
    if (request->finished) return;
    request->finished = true;
  }
  core_->requests.remove(*request);
  LibraryStats& stats = core_->stats;
  (result.ok() ? stats.writes.done : stats.writes.failed).add();
  if (result.ok()) {
    stats.bytes_written.add(result.value().bytes);
    if (result.value().witnessed.foreign) stats.foreign_changes.add();
    stats.write_latency.record(core_->now() - request->began);
  }
  request->done(std::move(result));
}

// Timed out or canceled; what is in flight keeps the turn until it ends.  What waits for its turn
// is not kept: the turn before it may never end when the library is closed.
void LiveFile::end_write(WriteRequest& request, Error error) {
  const Ref<WriteRequest> self(&request);
  finish_write(self, std::move(error));
  sync::MutexLock lock(mutex_);
  std::erase_if(turns_, [&](const Next& next) { return next.write == self; });
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
