// A write is kept or waits; it gets its turn, its streams are tiled, and what waits is issued.

#include <algorithm>
#include <cstring>
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

  void time_moved(Deadline deadline) override {
    request_->file->time_moved(*request_, part_, deadline.at);
  }

  void terminated(WriteOutcome outcome) override {
    const Ref<LibraryCore> core(&request_->file->core());
    std::unique_ptr<WritePiece> self(this);
    const bool ok = outcome.transferred_bytes.ok();
    (ok ? core->stats.origin_writes.done : core->stats.origin_writes.failed).add();
    {
      const Ref<WriteRequest> request = request_;
      request->file->write_piece_ended(request, part_, handle_, std::move(outcome));
    }
    self = nullptr;  // with its hold on the origin's file, perhaps the last
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
  const uint64_t memory = room_to_keep(data, pieces);
  const uint64_t copy = memory > 0 ? keep_copy(range, data) : 0;
  Ref<WriteRequest> request;
  bool kept = false;
  bool waits = false;
  {
    sync::MutexLock lock(mutex_);
    // Behind one that was given up and may never end, each has its own time, and its writer waits.
    const bool moving = !turns_.is_stuck();
    // After a failure the next writer hears for himself whether it goes on.
    kept = memory > 0 && moving && !failing_;
    // Nobody waits for one that is kept.
    const sync::Context holds = kept ? sync::Context() : context;
    request = make_ref<WriteRequest>(id, Ref<LiveFile>(this), range, std::move(data), pieces, holds,
                                     now, now + core_->options.timeout);
    if (kept) {
      request->kept_bytes = memory;
      if (copy != 0) request->copies.push_back(copy);
      keep_locked(request);
    } else {
      request->done = std::move(done);
      // Kept ones before it each end in their own time.
      request->untimed = moving && turns_.kept_count() > 0;
      if (request->untimed) turns_.add(request);
    }
    waits = request->untimed;
  }
  if (kept) {
    forget_stored();
    done(Written{.bytes = range.length_bytes, .kept = true});
  } else if (memory > 0) {
    core_->dirty.release(memory);
    if (copy != 0) drop_copies({copy});
  }
  if (waits) return next_turn();
  if (!core_->list(*request)) {
    core_->stats.writes.failed.add();
    request->done(Error(ECANCELED, "netfs.write"));
    return;
  }
  {
    sync::MutexLock lock(mutex_);
    if (request->finished) return;  // canceled as soon as it was listed
    turns_.add(std::move(request));
  }
  next_turn();
}

// How much memory it takes to keep a write, which is reserved; 0: its writer waits for the origin.
uint64_t LiveFile::room_to_keep(const BufferSlice& data, WritePieces pieces) {
  // A direct write is answered with what the origin has taken.
  if (pieces == WritePieces::kOneByOne || core_->closing) return 0;
  // Readers and other mounts may have all of it.
  const BufferPool& pool = core_->options.pool;
  if (pool.used_bytes() > pool.budget_bytes()) return 0;
  const uint64_t memory = data.buffer->capacity_bytes() + sizeof(WriteRequest);
  return core_->dirty.reserve(memory) ? memory : 0;
}

uint64_t LiveFile::keep_copy(ByteRange range, const BufferSlice& data) {
  Ref<LandingWatch> watch;
  {
    sync::MutexLock lock(mutex_);
    watch = watch_;
  }
  return watch ? watch->keep(range, data.bytes()) : 0;
}

void LiveFile::drop_copies(const std::vector<uint64_t>& copies) {
  if (copies.empty()) return;
  Ref<LandingWatch> watch;
  {
    sync::MutexLock lock(mutex_);
    watch = watch_;
  }
  if (watch) watch->settled(copies);
}

void LiveFile::keep_locked(const Ref<WriteRequest>& request) {
  request->untimed = true;
  LibraryStats& stats = core_->stats;
  stats.writes.done.add();
  stats.bytes_dirty.fetch_add(request->range.length_bytes);
  stats.bytes_written.add(request->range.length_bytes);
  stats.write_latency.record(core_->now() - request->began);
  if (turns_.kept_count() == 0) core_->dirty.enter(*this);
  turns_.add(request);
  kept_writes_.store(turns_.kept_count());
  keeps_.store(request->id);
}

// Neighbours that waited go out as one write.
Ref<WriteRequest> LiveFile::together(const std::vector<Ref<WriteRequest>>& parts) {
  if (parts.size() == 1) return parts.front();
  const uint64_t offset = parts.front()->range.offset_bytes;
  const uint64_t length = parts.back()->range.end_bytes() - offset;
  const Ref<Buffer> buffer = core_->options.pool.allocate_for_reader(length);
  uint64_t memory = 0;
  std::vector<uint64_t> copies;
  for (const Ref<WriteRequest>& part : parts) {
    const std::span<const std::byte> bytes = part->data.bytes();
    std::memcpy(buffer->writable().data() + (part->range.offset_bytes - offset), bytes.data(),
                bytes.size());
    memory += part->kept_bytes;
    copies.insert(copies.end(), part->copies.begin(), part->copies.end());
  }
  auto whole =
      make_ref<WriteRequest>(parts.front()->id, Ref<LiveFile>(this), ByteRange{offset, length},
                             BufferSlice{buffer, 0, length}, WritePieces::kTogether,
                             sync::Context(), parts.front()->began, parts.front()->deadline);
  whole->kept_bytes = memory;
  whole->copies = std::move(copies);
  whole->untimed = true;
  return whole;
}

// It has a turn, which ends with its last part.
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
  if (over) return end_turn(*request);
  sync::ContextScope scope(request->context);
  const MonoTime now = core_->now();
  // Those before it may have been held back: it has its time from now on.
  if (!request->untimed && held_back_) request->extend(now + core_->options.timeout);
  if (request->untimed) {
    request->begin_at(now, now + core_->options.timeout);
    if (!core_->list(*request)) {
      finish_write(request, Error(ECANCELED, "netfs.write"));
      return end_turn(*request);
    }
  }
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
      issues.push_back({i,
                        part.range,
                        {.before = i == 0 && !request->seen.before && request->alone,
                         .after = i + 1 == parts.size() && request->alone}});
      if (request->pieces == WritePieces::kOneByOne) break;
    }
  }
  if (over) {
    finish_write(request, Error(ECANCELED, "netfs.write"));
    return end_turn(*request);
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
