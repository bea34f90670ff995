// A write gets its turn, its streams are tiled, and what waits is issued.

#include <algorithm>
#include <utility>

#include "netfs/live_file.h"

namespace netfs {

// One part of the origin's stream on its way; lives from its issue to its end, and holds all it
// touches.
class WritePiece final : public WriteSubrequest {
 public:
  WritePiece(Ref<WriteRequest> request, size_t part, std::shared_ptr<OriginFile> handle,
             ByteRange range, WantsSeen wants)
      : WriteSubrequest(*handle, range,
                        request->data.bytes().subspan(
                            range.offset_bytes - request->range.offset_bytes, range.length_bytes),
                        wants, Deadline{request->deadline}),
        request_(std::move(request)),
        part_(part),
        handle_(std::move(handle)) {}

  void terminated(WriteOutcome outcome) override {
    const Ref<LibraryCore> core(&request_->file->core());
    std::unique_ptr<WritePiece> self(this);
    const bool ok = outcome.transferred_bytes.ok();
    (ok ? core->stats.origin_writes.done : core->stats.origin_writes.failed).add();
    const Ref<WriteRequest> request = request_;
    request->file->write_piece_ended(request, part_, handle_, std::move(outcome));
    self = nullptr;  // with its hold on the origin's file
    core->subrequest_closed();
  }

 private:
  const Ref<WriteRequest> request_;
  const size_t part_;
  const std::shared_ptr<OriginFile> handle_;
};

void LiveFile::write(ByteRange range, BufferSlice data, WritePieces pieces,
                     const sync::Context& context, WriteDone done) {
  NETFS_ASSERT(data.length_bytes == range.length_bytes);
  core_->stats.writes.issued.add();
  const MonoTime now = core_->now();
  const uint64_t id = core_->next_request_id.fetch_add(1, std::memory_order_relaxed);
  auto request =
      make_ref<WriteRequest>(id, Ref<LiveFile>(this), range, std::move(data), pieces, context,
                             std::move(done), now, now + core_->options.timeout);
  if (!core_->list(*request)) {
    core_->stats.writes.failed.add();
    request->done(Error(ECANCELED, "netfs.write"));
    return;
  }
  {
    sync::MutexLock lock(mutex_);
    if (request->finished) return;  // canceled as soon as it was listed
    turns_.push_back({.write = std::move(request)});
  }
  next_turn();
}

// It has the turn, which ends with its last part.
void LiveFile::begin_write(const Ref<WriteRequest>& request) {
  bool over = false;
  {
    sync::MutexLock lock(mutex_);
    over = request->finished;  // it was timed out before its turn came
    if (!over) {
      request->piece_bytes = std::max<uint64_t>(writer_.write_capabilities().write_bytes_max, 1);
      tile(request->range, request->piece_bytes, request->origin.parts);
      // Done as soon as it is queued: nobody waits for the cache.
      request->cache.parts = {{.range = request->range,
                               .state = WritePartState::kDone,
                               .done_bytes = request->range.length_bytes}};
    }
  }
  if (over) return end_turn();
  sync::ContextScope scope(request->context);
  forget_stored();
  issue_write(request);
}

// Sends off what waits: all of it, or the first part only where none may come after a failure.
void LiveFile::issue_write(const Ref<WriteRequest>& request) {
  struct Issue {
    size_t part;
    ByteRange range;
    WantsSeen wants;
  };
  std::vector<Issue> issues;
  std::shared_ptr<OriginFile> handle;
  bool over = false;
  {
    sync::MutexLock lock(mutex_);
    over = request->finished || core_->closing;
    handle = write_handle_;
    std::vector<WritePart>& parts = request->origin.parts;
    for (size_t i = 0; !over && handle && i < parts.size(); ++i) {
      WritePart& part = parts[i];
      if (part.state != WritePartState::kWaiting) continue;
      part.state = WritePartState::kInFlight;
      ++request->origin.in_flight;
      issues.push_back(
          {i,
           part.range,
           {.before = i == 0 && !request->seen.before, .after = i + 1 == parts.size()}});
      if (request->pieces == WritePieces::kOneByOne) break;
    }
  }
  if (over) {
    finish_write(request, Error(ECANCELED, "netfs.write"));
    return end_turn();
  }
  if (!handle) return reopen_for(request);
  for (const Issue& one : issues) {
    core_->stats.origin_writes.issued.add();
    core_->subrequest_opened();
    // It deletes itself when the origin terminates it.
    writer_.issue_write(*new WritePiece(request, one.part, handle, one.range, one.wants));
  }
}

}  // namespace netfs
