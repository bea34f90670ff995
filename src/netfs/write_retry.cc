// What failed of a write is tiled smaller and tried again after a pause, or given up: then what
// lies before it is the answer, or its error if nothing does.

#include <utility>

#include "netfs/live_file.h"
#include "netfs/read_retry.h"

namespace netfs {

namespace {
constexpr uint64_t kPieceBytesMin = 4096;
}  // namespace

void LiveFile::retry_write(const Ref<WriteRequest>& request, const std::optional<Error>& error) {
  bool again = false;
  uint64_t written = 0;
  MonoTime when = core_->now();
  {
    sync::MutexLock lock(mutex_);
    WriteStream& stream = request->origin;
    written = stream.collected_bytes();
    if (error) {
      ++request->failures;
      when += back_off(request->failures, request->id);
    }
    again = !request->finished && !core_->closing && when < request->deadline.load() &&
            (!error || may_retry(error->code(), request->failures));
    if (again) {
      if (error) {
        request->piece_bytes = smaller_piece(request->piece_bytes, kPieceBytesMin);
      }
      tile_again(stream, request->piece_bytes);
      request->seen.after.reset();
      request->resting = true;
    }
  }
  if (!again) {
    {
      // Nobody knows what the file looks like now.
      sync::MutexLock lock(mutex_);
      last_seen_.reset();
    }
    const Error stopped_by = error ? final_error(*error) : Error(ECANCELED, "netfs.close");
    if (written > 0) {
      finish_write(request, Written{.bytes = written, .stopped_by = stopped_by.code()});
    } else {
      finish_write(request, stopped_by);
    }
    return end_turn(*request);
  }
  core_->stats.retries.add();
  const bool later = core_->timers.post_at(when, [self = Ref<LiveFile>(this), request] {
    sync::ContextScope scope(request->context);
    self->wake_write(request);
  });
  if (!later) end_write(*request, Error(ECANCELED, "netfs.close"));
}

void LiveFile::wake_write(const Ref<WriteRequest>& request) {
  {
    sync::MutexLock lock(mutex_);
    if (!std::exchange(request->resting, false)) return;  // it was ended meanwhile
  }
  issue_write(request);
}

// The handle was lost with its connection: opened again on a worker, by the name the file has now.
void LiveFile::reopen_for(const Ref<WriteRequest>& request) {
  const bool posted = core_->waiting.post([self = Ref<LiveFile>(this), request] {
    sync::ContextScope scope(request->context);
    const Result<std::shared_ptr<OriginFile>> opened =
        self->write_handle(Deadline{request->deadline});
    if (opened.ok()) {
      self->issue_write(request);
    } else if (opened.is_error(ENOENT)) {
      // It may have moved, and its new name may not be known here yet.
      self->retry_write(request, Error(ESTALE, "netfs.write"));
    } else {
      self->retry_write(request, opened.error());
    }
  });
  if (posted) return;
  finish_write(request, Error(ECANCELED, "netfs.close"));
  end_turn(*request);
}

}  // namespace netfs
