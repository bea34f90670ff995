// A subrequest's outcome fills its fetch; the requests that wait for it are collected in file
// order.

#include "netfs/read_collect.h"

#include <algorithm>
#include <utility>

#include "netfs/read_retry.h"
#include "netfs/remote_file.h"

namespace netfs {

namespace {

bool is_of_other_version(const ReadOutcome& outcome, const FileVersion& version) {
  return outcome.validator_before.value_or(version.validator) != version.validator ||
         outcome.size_before.value_or(version.size_bytes) != version.size_bytes;
}

}  // namespace

// The bytes are there, their outcome is not.  They are given out early only where the outcome will
// say nothing of their version, and the origin has confirmed the open file before.
void RemoteFile::piece_progressed(Fetch& fetch, uint64_t end_bytes) {
  FollowUp follow{Ref<RemoteFile>(this)};
  {
    sync::MutexLock lock(mutex_);
    if (!outcomes_lack_validator_ || !handle_confirmed_ || fetch.waiters.empty()) return;
    if (fetch.state != FetchState::kInFlight || fetch.confirm_first) return;
    if (end_bytes <= fetch.visible_end()) return;
    fetch.visible_bytes = end_bytes - fetch.range.offset_bytes;
    follow.context = fetch.waiters.front()->context;
    wake_waiters_locked(fetch, follow);
  }
  std::move(follow).run();
}

void RemoteFile::piece_ended(const FollowUp::Issue& issue, ReadOutcome outcome) {
  Fetch& fetch = *issue.fetch;
  FollowUp follow{Ref<RemoteFile>(this)};
  std::shared_ptr<OriginFile> closed;
  {
    sync::MutexLock lock(mutex_);
    --in_flight_;
    // Whoever works for a request that waits works under its context.
    if (!fetch.waiters.empty()) follow.context = fetch.waiters.front()->context;
    // Another version than this file's: whether it is one, open() says.
    const bool other = is_of_other_version(outcome, version_);
    if (other) outcome.transferred_bytes = Error(ESTALE, "netfs.open");
    const Result<uint64_t>& bytes = outcome.transferred_bytes;
    const bool failed_by_read = !bytes.ok() && issue.by_read;
    const bool outlives = core_->capabilities.handles_outlive_connections;
    const bool useless =
        failed_by_read || (!bytes.ok() && needs_reopen(bytes.error().code(), outlives));
    failed_by_read_ = failed_by_read_ || failed_by_read;
    if (useless && handle_ == issue.handle) {
      handle_ = nullptr;
      handle_confirmed_ = false;
    }
    if (outcome.validator_before && !other && handle_ == issue.handle) {
      handle_proven_ = true;
      handle_confirmed_ = true;
    }
    if (handle_ == issue.handle && !other && bytes.ok() && has_validator() &&
        outcome.validator_after == version_.validator) {
      handle_confirmed_ = true;
    }
    // A stream's bytes are as old as its download.
    if (issue.racy && issue.handle->holds_bytes()) fetch.racy = true;
    // What is wrong with it, open() says: for who waits it is opened by that.
    fetch.opens_anew = failed_by_read;
    if (failed_by_read && bytes.is_error(ENOENT)) {
      outcome.transferred_bytes = Error(ESTALE, "netfs.open");
    }
    if (other && (!asked_ || !issue.by_read)) {
      // Who opens it is to ask the origin, whatever was known of it.
      stale_locked(fetch, follow);
    } else {
      collect_piece_locked(fetch, issue.range, outcome, follow);
    }
    pump_locked(follow);
    closed = take_idle_handle_locked();
  }
  closed = nullptr;
  std::move(follow).run();
  core_->drop_idle_blocks();
}

void RemoteFile::collect_piece_locked(Fetch& fetch, ByteRange piece, const ReadOutcome& outcome,
                                      FollowUp& follow) {
  NETFS_ASSERT(fetch.state == FetchState::kInFlight);
  if (!outcome.transferred_bytes.ok()) {
    // What progress() said is in place stays so; some of it has been given out.
    fetch.filled_bytes = std::max(fetch.filled_bytes, fetch.visible_bytes);
    if (fetch.filled_bytes < fetch.range.length_bytes) {
      trouble_locked(fetch, outcome.transferred_bytes.error(), follow);
    } else {
      filled_locked(fetch, follow);
    }
    return;
  }
  const uint64_t bytes = outcome.transferred_bytes.value();
  const ReadVerdict verdict = judge_read({.asked_bytes = piece.length_bytes,
                                          .transferred_bytes = bytes,
                                          .within_file_bytes = piece.length_bytes,
                                          .no_progress_before = fetch.no_progress});
  if (verdict == ReadVerdict::kOverRead) {
    core_->stats.over_reads.add();
    fail_fetch_locked(fetch, Error(EIO, "netfs.read", "the origin sent more than was asked"), true,
                      follow);
    return;
  }
  if (!check_validator_locked(fetch, outcome, follow)) return;
  const uint64_t piece_begin = piece.offset_bytes - fetch.range.offset_bytes;
  fetch.filled_bytes = std::max(piece_begin + bytes, fetch.visible_bytes);
  fetch.no_progress = bytes == 0;
  if (bytes > 0) fetch.failures = 0;
  const bool known = fetch.confirmed || (handle_confirmed_ && !fetch.confirm_first);
  if (known || !has_validator()) {
    fetch.visible_bytes = fetch.filled_bytes;
  }
  if (verdict == ReadVerdict::kNoData) {
    fetch.error = Error(EIO, "netfs.read", "the origin sent no data within the file, twice");
    if (!fetch.confirmed && has_validator()) {
      confirm_later_locked(fetch, follow);
    } else {
      fail_fetch_locked(fetch, *fetch.error, true, follow);
    }
    return;
  }
  if (fetch.filled_bytes == fetch.range.length_bytes) {
    filled_locked(fetch, follow);
    return;
  }
  if (bytes < piece.length_bytes) {
    core_->stats.short_reads.add();
    core_->stats.retries.add();
  }
  wake_waiters_locked(fetch, follow);
  requeue_locked(fetch);
}

bool RemoteFile::check_validator_locked(Fetch& fetch, const ReadOutcome& outcome,
                                        FollowUp& follow) {
  if (!has_validator()) return true;
  outcomes_lack_validator_ = !outcome.validator_after.has_value();
  fetch.confirmed = outcome.validator_after == version_.validator;
  fetch.confirm_first = !fetch.confirmed && (fetch.confirm_first || outcome.confirm_first);
  if (fetch.confirmed || outcomes_lack_validator_) return true;
  stale_locked(fetch, follow);
  return false;
}

// All bytes are here.  They may be read at once if they, or the open file before them, were
// confirmed to be of this version, unless their outcome has them confirmed first; they are stored
// only once they themselves were.
void RemoteFile::filled_locked(Fetch& fetch, FollowUp& follow) {
  if (fetch.confirmed || !has_validator()) {
    keep_locked(fetch, follow);
    return;
  }
  wake_waiters_locked(fetch, follow);  // first: who has his bytes waits for no confirmation
  confirm_later_locked(fetch, follow);
}

// From here on the bytes are immutable.
void RemoteFile::keep_locked(Fetch& fetch, FollowUp& follow) {
  fetch.visible_bytes = fetch.filled_bytes;
  fetch.state = FetchState::kFilled;
  if (cookie_ && !superseded_ && !fetch.abandoned) {
    if (!fetch.confirmed) {
      core_->stats.stores_unverified.add();
    } else if (fetch.racy) {
      core_->stats.stores_racy.add();
    } else {
      fetch.ticket = make_ref<StoreTicket>();
      follow.stores.emplace_back(&fetch);
    }
  }
  fetch.settled.store(true, std::memory_order_release);
  fetch.filled_at = core_->now();
  if (!fetch.abandoned) core_->memory.add(fetch, *this);
  wake_waiters_locked(fetch, follow);
}

void RemoteFile::wake_waiters_locked(Fetch& fetch, FollowUp& follow) {
  std::vector<Ref<ReadRequest>> waiters;
  waiters.swap(fetch.waiters);
  for (Ref<ReadRequest>& request : waiters) {
    collect_locked(*request, follow);
    if (fetch.busy() && !request->finished) fetch.waiters.push_back(std::move(request));
  }
}

// In file order: the front moves over what is done, and with the last part the request is finished.
void RemoteFile::collect_locked(ReadRequest& request, FollowUp& follow) {
  if (request.finished) return;
  std::vector<ReadPart>& parts = request.parts;
  while (request.collected < parts.size() && collect_part_locked(parts[request.collected])) {
    ++request.collected;
  }
  if (request.collected < parts.size()) return;
  ReadResult result;
  result.slices.reserve(parts.size());
  for (const ReadPart& part : parts) result.slices.push_back(part.bytes);
  NETFS_ASSERT(result.length_bytes() == request.range.length_bytes);
  finish_locked(request, std::move(result), follow);
}

bool RemoteFile::collect_part_locked(ReadPart& part) {
  if (part.done) return true;
  if (!part.fetch || part.fetch->visible_end() < part.range.end_bytes()) return false;
  Fetch& fetch = *part.fetch;
  part.bytes = fetch.slice(part.range);
  part.done = true;
  const uint64_t before = fetch.consumed_bytes.fetch_add(part.range.length_bytes);
  if (fetch.request_id == 0 && before < fetch.range.length_bytes) {
    core_->stats.readahead_bytes_used.add(
        std::min(part.range.length_bytes, fetch.range.length_bytes - before));
  }
  core_->memory.touch(fetch);
  return true;
}

void RemoteFile::finish_locked(ReadRequest& request, Result<ReadResult> result, FollowUp& follow) {
  NETFS_ASSERT(!request.finished);
  request.finished = true;
  for (const ReadPart& part : request.parts) {
    if (!part.fetch) continue;
    std::erase_if(part.fetch->waiters,
                  [&](const auto& waiter) { return waiter.get() == &request; });
  }
  follow.finishes.push_back({Ref<ReadRequest>(&request), std::move(result)});
}

void RemoteFile::count_finish(const ReadRequest& request, const Result<ReadResult>& result) {
  LibraryStats& stats = core_->stats;
  if (!result.ok()) {
    stats.reads.failed.add();
    return;
  }
  stats.reads.done.add();
  bool miss = false;
  for (const ReadPart& part : request.parts) {
    switch (part.source) {
      case Source::kZero:
        stats.bytes_zero.add(part.range.length_bytes);
        break;
      case Source::kMemory:
        stats.bytes_memory.add(part.range.length_bytes);
        break;
      case Source::kCache:
        stats.bytes_cache.add(part.range.length_bytes);
        break;
      case Source::kOrigin:
        stats.bytes_origin.add(part.range.length_bytes);
        miss = true;
        break;
    }
  }
  (miss ? stats.misses : stats.hits).add();
  (miss ? stats.miss_latency : stats.hit_latency).record(core_->now() - request.began);
}

}  // namespace netfs
