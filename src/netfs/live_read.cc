// Reads of a file that is being written: they go to the origin, in parts, but for what is only here
// yet; and they are not kept.

#include "netfs/live_read.h"

#include <algorithm>
#include <utility>

#include "netfs/live_file.h"
#include "netfs/read_retry.h"

namespace netfs {

// One part on its way; lives from its issue to its end, and holds all it touches.
class LiveReadPiece final : public Subrequest {
 public:
  LiveReadPiece(Ref<LiveRead> request, size_t part, std::shared_ptr<OriginFile> handle,
                ByteRange range, Ref<Buffer> buffer, size_t at)
      : Subrequest(*handle, range, buffer->writable().subspan(at, range.length_bytes),
                   Deadline{request->deadline}),
        request_(std::move(request)),
        part_(part),
        handle_(std::move(handle)),
        buffer_(std::move(buffer)) {}

  void time_moved(Deadline deadline) override {
    request_->file->time_moved(*request_, part_, deadline.at);
  }

  void terminated(ReadOutcome outcome) override {
    const Ref<LibraryCore> core(&request_->file->core());
    std::unique_ptr<LiveReadPiece> self(this);
    const bool ok = outcome.transferred_bytes.ok();
    (ok ? core->stats.origin_reads.done : core->stats.origin_reads.failed).add();
    const Ref<LiveRead> request = request_;
    request->file->read_piece_ended(request, part_, handle_, outcome);
    self = nullptr;  // with its hold on the origin's file
    core->subrequest_closed();
  }

 private:
  const Ref<LiveRead> request_;
  const size_t part_;
  const std::shared_ptr<OriginFile> handle_;
  const Ref<Buffer> buffer_;
};

LiveRead::LiveRead(uint64_t number, Ref<LiveFile> of, ByteRange asked, const sync::Context& asker,
                   ReadDone answer, MonoTime now, MonoTime until)
    : Request(number, asked, asker, now, until), file(std::move(of)), done(std::move(answer)) {}
LiveRead::~LiveRead() = default;

void LiveRead::end(Error error) {
  file->end_read(*this, std::move(error));
}
MonoTime LiveRead::waits_until() const {
  return file->waits_until(*this);
}
std::string LiveRead::path() const {
  return file->path();
}
std::string LiveRead::what_it_waits_for() const {
  return file->what_it_waits_for(*this);
}

std::string LiveFile::what_it_waits_for(const LiveRead& request) const {
  sync::MutexLock lock(mutex_);
  return "origin " + std::to_string(request.in_flight) + " of " +
         std::to_string(request.parts.size()) + " (being written)";
}

void LiveFile::read(ReadStream* /*stream*/, ByteRange range, const sync::Context& context,
                    ReadDone done) {
  core_->stats.reads.issued.add();
  core_->stats.misses.add();
  const MonoTime now = core_->now();
  const uint64_t id = core_->next_request_id.fetch_add(1, std::memory_order_relaxed);
  auto request = make_ref<LiveRead>(id, Ref<LiveFile>(this), range, context, std::move(done), now,
                                    now + core_->options.timeout);
  const uint64_t piece =
      std::clamp<uint64_t>(core_->capabilities.read_bytes_max, 4096, kBufferBytesMax);
  for (uint64_t at = 0; at < range.length_bytes; at += piece) {
    const ByteRange part{range.offset_bytes + at, std::min(piece, range.length_bytes - at)};
    request->parts.push_back(
        {.range = part, .buffer = core_->options.pool.allocate_for_reader(part.length_bytes)});
  }
  if (!core_->list(*request)) {
    core_->stats.reads.failed.add();
    request->done(Error(ECANCELED, "netfs.read"));
    return;
  }
  if (dirty()) {
    sync::MutexLock lock(mutex_);
    request->overlay = turns_.overlay(range);
    for (LiveRead::Part& part : request->parts) part.ended = request->overlay.covers(part.range);
  }
  issue_read(request);
}

void LiveFile::open_reader(const Ref<LiveRead>& request) {
  Result<std::unique_ptr<OriginFile>> opened =
      core_->closing ? Error(ECANCELED, "netfs.close")
                     : core_->options.origin.open(path(), Deadline{request->deadline});
  if (!opened.ok()) return collect_read(request, opened.error());
  {
    sync::MutexLock lock(mutex_);
    if (!read_handle_) read_handle_ = std::move(opened).value();
  }
  issue_read(request);
}

// Sends off every part that is neither done nor on its way.
void LiveFile::issue_read(const Ref<LiveRead>& request) {
  struct Issue {
    size_t part;
    ByteRange range;
    Ref<Buffer> buffer;
    size_t at;
  };
  std::vector<Issue> issues;
  std::shared_ptr<OriginFile> handle;
  bool any = false;
  {
    sync::MutexLock lock(mutex_);
    handle = read_handle_;
    for (const LiveRead::Part& part : request->parts) any = any || !part.ended;
    for (size_t i = 0; handle && i < request->parts.size(); ++i) {
      LiveRead::Part& part = request->parts[i];
      if (part.ended || part.in_flight) continue;
      part.in_flight = true;
      part.error.reset();
      part.until.reset();
      ++request->in_flight;
      issues.push_back(
          {i,
           {part.range.offset_bytes + part.done_bytes, part.range.length_bytes - part.done_bytes},
           part.buffer,
           part.done_bytes});
    }
  }
  if (!any) return collect_read(request, std::nullopt);  // it is empty, or all of it is here
  if (!handle) {
    const bool posted = core_->waiting.post([self = Ref<LiveFile>(this), request] {
      sync::ContextScope scope(request->context);
      self->open_reader(request);
    });
    if (!posted) finish_read(*request, Error(ECANCELED, "netfs.close"));
    return;
  }
  for (Issue& one : issues) {
    core_->stats.origin_reads.issued.add();
    core_->subrequest_opened();
    // It deletes itself when the origin terminates it.
    auto* piece =
        new LiveReadPiece(request, one.part, handle, one.range, std::move(one.buffer), one.at);
    core_->options.origin.issue_read(*piece);
  }
}

void LiveFile::read_piece_ended(const Ref<LiveRead>& request, size_t index,
                                const std::shared_ptr<OriginFile>& handle,
                                const ReadOutcome& outcome) {
  std::optional<Error> error;
  bool last = false;
  {
    sync::MutexLock lock(mutex_);
    LiveRead::Part& part = request->parts[index];
    part.in_flight = false;
    const uint64_t left = part.range.length_bytes - part.done_bytes;
    if (!outcome.transferred_bytes.ok()) {
      part.error = outcome.transferred_bytes.error();
      const bool useless =
          needs_reopen(part.error->code(), core_->capabilities.handles_outlive_connections);
      if (useless && read_handle_ == handle) read_handle_ = nullptr;
    } else if (outcome.transferred_bytes.value() > left) {
      core_->stats.over_reads.add();
      part.error = Error(EIO, "netfs.read", "the origin sent more than was asked");
    } else {
      const uint64_t bytes = outcome.transferred_bytes.value();
      part.done_bytes += bytes;
      core_->stats.bytes_downloaded.add(bytes);
      if (bytes > 0) request->failures = 0;
      // Nothing twice running is the end as well: the size is not known here.
      part.at_end = outcome.hit_end_of_file || (bytes == 0 && part.no_progress);
      part.no_progress = bytes == 0;
      part.ended = part.at_end || part.done_bytes == part.range.length_bytes;
      if (!part.ended) core_->stats.short_reads.add();
    }
    last = --request->in_flight == 0;
    for (const LiveRead::Part& each : request->parts) {
      if (each.error && !error) error = each.error;
    }
  }
  if (last) collect_read(request, error);
}

// Nothing is on its way: answered, or asked again.
void LiveFile::collect_read(const Ref<LiveRead>& request, std::optional<Error> error) {
  sync::ContextScope scope(request->context);
  if (error) {
    unsigned failures = 0;
    {
      sync::MutexLock lock(mutex_);
      if (request->finished) return;
      failures = ++request->failures;
    }
    const MonoTime when = core_->now() + back_off(failures, request->id);
    if (core_->closing || when >= request->deadline.load() || !may_retry(error->code(), failures)) {
      return finish_read(*request, final_error(*error));
    }
    core_->stats.retries.add();
    const bool later = core_->timers.post_at(
        when, [self = Ref<LiveFile>(this), request] { self->issue_read(request); });
    if (!later) finish_read(*request, Error(ECANCELED, "netfs.close"));
    return;
  }
  bool again = false;
  {
    sync::MutexLock lock(mutex_);
    if (request->finished) return;
    for (const LiveRead::Part& part : request->parts) again = again || !part.ended;
  }
  if (again) return issue_read(request);
  // Nothing is in flight: the parts are this thread's alone.
  ReadResult result;
  for (LiveRead::Part& part : request->parts) {
    const std::span<std::byte> bytes = part.buffer->writable().first(part.range.length_bytes);
    const uint64_t good = request->overlay.apply(part.range, bytes, part.done_bytes);
    if (good > 0) result.slices.push_back({part.buffer, 0, good});
    if (good < part.range.length_bytes) break;
  }
  finish_read(*request, std::move(result));
}

void LiveFile::finish_read(LiveRead& request, Result<ReadResult> result) {
  {
    sync::MutexLock lock(mutex_);
    if (request.finished) return;
    request.finished = true;
  }
  core_->requests.remove(request);
  LibraryStats& stats = core_->stats;
  (result.ok() ? stats.reads.done : stats.reads.failed).add();
  if (result.ok()) {
    stats.bytes_origin.add(result.value().length_bytes());
    stats.miss_latency.record(core_->now() - request.began);
  }
  request.done(std::move(result));
}

void LiveFile::end_read(LiveRead& request, Error error) {
  finish_read(request, std::move(error));
}

}  // namespace netfs
