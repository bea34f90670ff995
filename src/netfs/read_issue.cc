// A request is sliced, its fetches are made and issued; and the same for what is read ahead.

#include <algorithm>
#include <utility>

#include "netfs/fetch_read.h"
#include "netfs/offload.h"
#include "netfs/read_stream.h"
#include "netfs/remote_file.h"

namespace netfs {

namespace {

constexpr uint64_t kPieceBytesMax = uint64_t{1} << 20;
constexpr uint64_t kDemandPieceBytes = uint64_t{512} << 10;
static_assert(kPieceBytesMax <= kBufferBytesMax);

}  // namespace

void RemoteFile::start(const Ref<ReadRequest>& request) {
  (void)core_->make_room(request->range.length_bytes);  // a reader gets memory in any case
  if (!core_->list(*request)) {
    core_->stats.reads.failed.add();
    request->done(Error(ECANCELED, "netfs.read"));
    return;
  }
  FollowUp follow{Ref<RemoteFile>(this)};
  follow.context = request->context;
  {
    sync::MutexLock lock(mutex_);
    if (request->finished) return;  // close() was faster
    plan_part_locked(request, 0, {.range = request->range}, follow);
    pump_locked(follow);
    collect_locked(*request, follow);
  }
  std::move(follow).run();
}

// Who has the block, and how many after it are alike.
Run RemoteFile::occupancy_locked(BlockIndex block, uint64_t count_max, bool skip_cache) {
  const uint64_t at = block.value * block_bytes_;
  if (Fetch* fetch = table_.find(at)) {
    if (!fetch->busy() || fetch->deadline > core_->now()) {
      return {Source::kMemory, (fetch->range.end_bytes() - at + block_bytes_ - 1) / block_bytes_};
    }
    // The origin did not answer in time and may never: a new attempt takes its place.
    fetch->abandoned = true;
    table_.erase(*fetch);
  }
  uint64_t count = count_max;
  const uint64_t next = table_.next_begin(at);
  if (next != UINT64_MAX) count = std::min(count, next / block_bytes_ - block.value);
  if (!cookie_ || skip_cache) return {Source::kOrigin, count};
  const bool present = cookie_->present(block);
  return {present ? Source::kCache : Source::kOrigin, cookie_->run_length(block, count)};
}

// Slices a part and puts what it is made of in its place (`at`; it is not among the parts itself).
void RemoteFile::plan_part_locked(const Ref<ReadRequest>& request, size_t at, const ReadPart& part,
                                  FollowUp& follow) {
  const std::vector<Slice> slices =
      slice_read(part.range, version_.size_bytes, version_.size_bytes, block_bytes_,
                 [&](BlockIndex block, uint64_t count_max) NO_THREAD_SAFETY_ANALYSIS {
                   return occupancy_locked(block, count_max, part.skip_cache);  // the lock is held
                 });
  const bool fetches = std::any_of(slices.begin(), slices.end(), [](const Slice& slice) {
    return slice.source == Source::kOrigin;
  });
  if (fetches && superseded_) {
    finish_locked(*request, Error(ESTALE, "netfs.read"), follow);
    return;
  }
  std::vector<ReadPart> parts;
  for (const Slice& slice : slices) {
    ReadPart piece = part;
    piece.source = slice.source;
    piece.range = slice.range;
    piece.fetch = nullptr;
    ++piece.plans;
    if (slice.source != Source::kCache) {
      add_fetch_parts_locked(request, piece, parts, follow);
      continue;
    }
    for (uint64_t done = 0; done < slice.range.length_bytes; done += kPieceBytesMax) {
      const uint64_t left = slice.range.length_bytes - done;
      piece.range = {slice.range.offset_bytes + done, std::min(left, kPieceBytesMax)};
      parts.push_back(piece);
      follow.cache_reads.push_back({request, piece.range});
    }
  }
  request->parts.insert(request->parts.begin() + static_cast<ptrdiff_t>(at),
                        std::make_move_iterator(parts.begin()),
                        std::make_move_iterator(parts.end()));
}

// The fetches that a slice of memory or origin lies in, one part each; new ones where none is.
void RemoteFile::add_fetch_parts_locked(const Ref<ReadRequest>& request, const ReadPart& slice,
                                        std::vector<ReadPart>& parts, FollowUp& follow) {
  uint64_t at = slice.range.offset_bytes;
  const uint64_t end = slice.range.end_bytes();
  while (at < end) {
    Ref<Fetch> fetch(table_.find(at));
    if (!fetch) {
      const ByteRange blocks = fetch_range({at, end - at}, block_bytes_, version_.size_bytes);
      const uint64_t most = std::max<uint64_t>(block_bytes_, kDemandPieceBytes);
      const ByteRange range{blocks.offset_bytes, std::min(blocks.length_bytes, most)};
      fetch = new_fetch_locked(range, core_->options.pool.allocate_for_reader(range.length_bytes),
                               request->id);
    }
    ReadPart part = slice;
    part.range = {at, std::min(end, fetch->range.end_bytes()) - at};
    if (fetch->busy()) {
      fetch->waiters.push_back(request);
      fetch->awaited = true;
      const bool there = fetch->visible_end() >= part.range.end_bytes();
      if (fetch->state == FetchState::kConfirming && !there) confirm_soon_locked(true, follow);
    }
    at = part.range.end_bytes();
    part.fetch = std::move(fetch);
    parts.push_back(std::move(part));
  }
}

Ref<Fetch> RemoteFile::new_fetch_locked(ByteRange range, Ref<Buffer> buffer, uint64_t request_id) {
  auto fetch =
      make_ref<Fetch>(range, std::move(buffer), request_id, core_->now() + core_->options.timeout);
  fetch->piece_bytes = std::max<uint64_t>(core_->capabilities.read_bytes_max, 1);
  fetch->racy = is_racy(version_.validator, core_->capabilities.validator_granularity,
                        core_->options.clock.wall());
  table_.insert(fetch);
  // Who waits goes before what is fetched ahead.
  const auto place =
      request_id == 0 ? queued_.end()
                      : std::find_if(queued_.begin(), queued_.end(), [](const Ref<Fetch>& queued) {
                          return queued->request_id == 0;
                        });
  queued_.insert(place, fetch);
  return fetch;
}

// Sends off what is queued, once the origin's file is open.
void RemoteFile::pump_locked(FollowUp& follow) {
  if (queued_.empty()) return;
  if (handle_ && handle_old_) {
    follow.closed = std::move(handle_);
    handle_ = nullptr;
    handle_confirmed_ = false;
  }
  if (!handle_) {
    if (!opening_) (asked_ ? follow.open_origin : follow.open_unasked) = true;
    if (asked_ && std::exchange(opening_later_, false)) follow.open_origin = true;
    opening_ = true;
    return;
  }
  std::deque<Ref<Fetch>> held;  // it is another file's turn to read ahead
  while (!queued_.empty() && (core_->capabilities.parallel_reads || in_flight_ == 0)) {
    Ref<Fetch> fetch = std::move(queued_.front());
    queued_.pop_front();
    if (fetch->state != FetchState::kQueued) continue;  // it was given up meanwhile
    const uint64_t left = fetch->range.length_bytes - fetch->filled_bytes;
    const ByteRange piece{fetch->filled_end(), std::min(left, fetch->piece_bytes)};
    const bool is_ahead = core_->ahead.counts() && fetch->request_id == 0 && fetch->waiters.empty();
    if (is_ahead &&
        (!held.empty() || !core_->ahead.begin(piece.length_bytes, core_->link.under_way_bytes(),
                                              Ref<RemoteFile>(this)))) {
      held.push_back(std::move(fetch));
      continue;
    }
    if (fetch->request_id != 0) handle_unasked_ = false;
    handle_racy_ = handle_racy_ || fetch->racy;
    if (handle_racy_ && handle_->holds_bytes()) fetch->racy = true;
    fetch->state = FetchState::kInFlight;
    ++in_flight_;
    follow.issues.push_back({.fetch = std::move(fetch),
                             .handle = handle_,
                             .range = piece,
                             .is_ahead = is_ahead,
                             .by_read = handle_by_read_,
                             .unproven = handle_by_read_ && !handle_proven_,
                             .racy = handle_racy_});
  }
  queued_.insert(queued_.begin(), held.begin(), held.end());
}

void RemoteFile::pump() {
  FollowUp follow{Ref<RemoteFile>(this)};
  {
    sync::MutexLock lock(mutex_);
    pump_locked(follow);
  }
  std::move(follow).run();
}

void RemoteFile::issue(FollowUp::Issue issue) {
  if (core_->closing) {
    if (issue.is_ahead) core_->ahead.ended(issue.range.length_bytes);
    piece_ended(issue, {.transferred_bytes = Error(ECANCELED, "netfs.close")});
    core_->pump_ahead();
    return;
  }
  core_->stats.origin_reads.issued.add();
  core_->subrequest_opened();
  // It deletes itself when the origin terminates it.
  auto* read = new FetchRead(Ref<RemoteFile>(this), std::move(issue));
  core_->options.origin.issue_read(*read);
}

// For who waits, where that saves him something.
std::unique_ptr<OriginFile> RemoteFile::open_by_read() {
  if (!core_->capabilities.opens_by_read || !has_validator() || core_->closing) return nullptr;
  {
    sync::MutexLock lock(mutex_);
    if (failed_by_read_) return nullptr;
  }
  return core_->options.origin.open_by_read(version_.path);
}

void RemoteFile::open_asked() {
  if (std::unique_ptr<OriginFile> handle = open_by_read()) {
    return take_opened(std::move(handle), OpenedBy::kRead);
  }
  (void)core_->waiting.post([self = Ref<RemoteFile>(this)] { self->open_in_turn(); });
}

// Of those that stood in the queue before, one may have shown that reads open its files.
void RemoteFile::open_in_turn() {
  if (std::unique_ptr<OriginFile> handle = open_by_read()) {
    return take_opened(std::move(handle), OpenedBy::kRead);
  }
  open_origin();
}

// On a worker that may wait for the origin.
void RemoteFile::open_origin() {
  Result<std::unique_ptr<OriginFile>> opened = Error(ECANCELED, "netfs.close");
  if (!core_->closing) {
    core_->stats.origin_opens.issued.add();
    opened = core_->options.origin.open(version_.path, core_->deadline());
    (opened.ok() ? core_->stats.origin_opens.done : core_->stats.origin_opens.failed).add();
  }
  take_opened(std::move(opened), OpenedBy::kOpen);
}

void RemoteFile::take_opened(Result<std::unique_ptr<OriginFile>> outcome, OpenedBy by) {
  const bool is_open = outcome.ok();
  FollowUp follow{Ref<RemoteFile>(this)};
  {
    sync::MutexLock lock(mutex_);
    opening_ = false;
    if (is_open) {
      handle_ = std::move(outcome).value();
      handle_confirmed_ = false;
      handle_by_read_ = by == OpenedBy::kRead;
      handle_proven_ = false;
      handle_unasked_ = !asked_;
      handle_racy_ = handle_old_ = false;
      ++handle_serial_;
      pump_locked(follow);
    } else {
      std::deque<Ref<Fetch>> waiting;
      waiting.swap(queued_);
      // A file that is gone is not this version any more.
      const bool gone = outcome.is_error(ENOENT);
      for (const Ref<Fetch>& fetch : waiting) {
        if (gone) {
          stale_locked(*fetch, follow);
        } else {
          trouble_locked(*fetch, outcome.error(), follow);
        }
      }
      pump_locked(follow);  // who only joined has a fetch of his own now
    }
  }
  std::move(follow).run();
  if (is_open) core_->handle_opened(*this);
}

void RemoteFile::read_ahead(ReadStream& stream, const ReadaheadPlan& plan) {
  if (plan.ranges.empty()) return;
  if (cookie_ && core_->offload().lags()) {
    core_->stats.readahead_held.add();
    stream.cut_plan(plan.ranges.front().offset_bytes);
    return;
  }
  for (const ByteRange& range : plan.ranges) {
    const uint64_t reached = fetch_all_ahead(range).end_bytes;
    if (reached >= cut_at_end(range, version_.size_bytes).end_bytes()) continue;
    stream.cut_plan(reached);
    return;
  }
}

// As fetch_ahead, and makes room in memory where that can be had.
RemoteFile::Reached RemoteFile::fetch_all_ahead(ByteRange range) {
  const uint64_t most = std::min(kPieceBytesMax, core_->capabilities.read_bytes_max);
  const uint64_t usual =
      core_->link.piece_bytes(block_bytes_, std::max<uint64_t>(most, block_bytes_));
  const uint64_t piece = std::max(usual, ReadaheadDetector::piece_bytes_min(readahead_limits()));
  ByteRange rest = fetch_range(range, block_bytes_, version_.size_bytes);
  uint64_t issued = 0;
  while (!rest.empty()) {
    const Reached reached = fetch_ahead(rest, round_down(piece, block_bytes_));
    issued += reached.issued_bytes;
    rest = {reached.end_bytes, rest.end_bytes() - reached.end_bytes};
    if (rest.empty() || core_->make_room(piece)) continue;
    core_->stats.readahead_no_memory.add();
    break;
  }
  return {rest.offset_bytes, issued};
}

// Fetches what of the blocks nobody has, until memory is short; returns how far it came.
RemoteFile::Reached RemoteFile::fetch_ahead(ByteRange blocks, uint64_t piece_bytes) {
  FollowUp follow{Ref<RemoteFile>(this)};
  uint64_t at = blocks.offset_bytes;
  uint64_t issued = 0;
  {
    sync::MutexLock lock(mutex_);
    if (superseded_ || core_->closing) return {blocks.end_bytes(), 0};
    while (at < blocks.end_bytes()) {
      const uint64_t count = (blocks.end_bytes() - at + block_bytes_ - 1) / block_bytes_;
      const Run run = occupancy_locked(BlockIndex(at / block_bytes_), count, false);
      uint64_t end = std::min(at + run.count * block_bytes_, blocks.end_bytes());
      if (run.source == Source::kOrigin) {
        // Pieces end at multiples of their size, so that windows that meet cut alike.
        end = std::min(end, round_down(at, piece_bytes) + piece_bytes);
        Ref<Buffer> buffer = core_->options.pool.try_allocate(end - at);
        if (!buffer) break;
        core_->stats.readahead_bytes_issued.add(end - at);
        issued += end - at;
        new_fetch_locked({at, end - at}, std::move(buffer), 0);
      }
      at = end;
    }
    pump_locked(follow);
  }
  std::move(follow).run();
  return {at, issued};
}

void RemoteFile::read_cache(const FollowUp::CacheRead& read, Waiting waiting) {
  {
    sync::MutexLock lock(mutex_);
    if (read.request->finished) return;
  }
  core_->stats.cache_reads.issued.add();
  Ref<Buffer> buffer = core_->options.pool.allocate_for_reader(read.range.length_bytes);
  const std::span<std::byte> to = buffer->writable().first(read.range.length_bytes);
  Result<void> result = cookie_->read(read.range.offset_bytes, to, waiting);
  if (waiting == Waiting::kNever && result.is_error(EAGAIN)) {
    buffer = nullptr;
    core_->stats.cache_reads.done.add();
    const bool posted = core_->readers.post([self = Ref<RemoteFile>(this), read] {
      sync::ContextScope scope(read.request->context);
      self->read_cache(read, Waiting::kDisk);
    });
    if (posted) return;
    result = Error(ECANCELED, "netfs.close");
  }
  cache_read_ended(read, std::move(buffer), result);
}

void RemoteFile::cache_read_ended(const FollowUp::CacheRead& read, Ref<Buffer> buffer,
                                  const Result<void>& result) {
  (result.ok() ? core_->stats.cache_reads.done : core_->stats.cache_reads.failed).add();
  FollowUp follow{Ref<RemoteFile>(this)};
  follow.context = read.request->context;
  {
    sync::MutexLock lock(mutex_);
    ReadRequest& request = *read.request;
    if (request.finished) return;
    const auto part = std::find_if(request.parts.begin(), request.parts.end(), [&](const auto& p) {
      return p.range == read.range && p.source == Source::kCache;
    });
    NETFS_ASSERT(part != request.parts.end());
    if (result.ok()) {
      part->bytes = {std::move(buffer), 0, read.range.length_bytes};
      part->done = true;
    } else {
      // Only this slice, and nobody but the counter hears of it.  A damaged block has been dropped:
      // what lies beside it is asked for once more.
      core_->stats.cache_failures.add();
      ReadPart failed = *part;
      failed.skip_cache = !result.is_error(EBADMSG) || failed.plans > 1;
      const auto at = part - request.parts.begin();
      request.parts.erase(part);
      plan_part_locked(read.request, static_cast<size_t>(at), failed, follow);
      pump_locked(follow);
    }
    collect_locked(request, follow);
  }
  std::move(follow).run();
}

}  // namespace netfs
