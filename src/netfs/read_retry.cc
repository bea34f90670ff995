// What failed is tried again, handed on to a new fetch, or given up.

#include "netfs/read_retry.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "netfs/remote_file.h"

namespace netfs {

namespace {

// How often one part of a request may be planned: by itself, after the cache failed it, and after
// somebody else's download of it failed.
constexpr unsigned kPlansMax = 4;

uint64_t chance() {
  static thread_local std::minstd_rand generator(std::random_device{}());
  return generator();
}

}  // namespace

// A subrequest, or the open before it, or the question behind it, failed with `error`.
void RemoteFile::trouble_locked(Fetch& fetch, const Error& error, FollowUp& follow) {
  ++fetch.failures;
  fetch.no_progress = false;
  const MonoTime when = core_->now() + back_off(fetch.failures, chance());
  // Nobody waits for readahead: its reader, if one comes, tries by itself.
  const bool wanted = fetch.request_id != 0 || !fetch.waiters.empty();
  const bool opens_anew = std::exchange(fetch.opens_anew, false);
  const bool again = wanted && !core_->closing && !superseded_ && when < fetch.deadline &&
                     (opens_anew || may_retry(error.code(), fetch.failures));
  if (!again) {
    fail_fetch_locked(fetch, superseded_ ? Error(ESTALE, "netfs.read") : final_error(error), false,
                      follow);
    return;
  }
  core_->stats.retries.add();
  const uint64_t left = fetch.range.length_bytes - fetch.filled_bytes;
  fetch.piece_bytes = smaller_piece(std::min(fetch.piece_bytes, left), block_bytes_);
  fetch.state = FetchState::kBackingOff;
  follow.retries.push_back({Ref<Fetch>(&fetch), when});
}

// The back-off is over; on the timer thread.
void RemoteFile::retry_now(Fetch& fetch) {
  FollowUp follow{Ref<RemoteFile>(this)};
  {
    sync::MutexLock lock(mutex_);
    if (fetch.state != FetchState::kBackingOff) return;
    if (!fetch.waiters.empty()) follow.context = fetch.waiters.front()->context;
    if (fetch.filled_bytes < fetch.range.length_bytes) {
      requeue_locked(fetch);
    } else {
      filled_locked(fetch, follow);
    }
    pump_locked(follow);
  }
  std::move(follow).run();
}

// Its subrequest is held back, or goes now.
void RemoteFile::time_moved(Fetch& fetch, MonoTime until) {
  sync::MutexLock lock(mutex_);
  fetch.held_back = true;
  fetch.deadline = until;
  if (until == MonoTime::max()) return;
  for (const Ref<ReadRequest>& request : fetch.waiters) request->extend(until);
}

// Of what it waits for, what was at the origin first decides.
MonoTime RemoteFile::waits_until(const ReadRequest& request) const {
  sync::MutexLock lock(mutex_);
  std::optional<MonoTime> until;
  for (const ReadPart& part : request.parts) {
    if (part.done || !part.fetch || !part.fetch->busy() || !part.fetch->held_back) continue;
    until = std::min(until.value_or(MonoTime::max()), part.fetch->deadline);
  }
  return until.value_or(request.deadline);
}

// What remains of the fetch goes before what was never tried.
void RemoteFile::requeue_locked(Fetch& fetch) {
  fetch.state = FetchState::kQueued;
  queued_.emplace_front(&fetch);
}

// The origin has another version: these bytes are neither given out nor stored.
void RemoteFile::stale_locked(Fetch& fetch, FollowUp& follow) {
  superseded_ = true;  // before it counts
  core_->stats.stale.add();
  follow.supersede = true;
  fail_fetch_locked(fetch, Error(ESTALE, "netfs.read"), true, follow);
}

// `final`: another attempt would not end otherwise.
void RemoteFile::fail_fetch_locked(Fetch& fetch, const Error& error, bool final, FollowUp& follow) {
  fetch.state = FetchState::kFailed;
  fetch.error = error;
  fetch.settled.store(true, std::memory_order_release);
  table_.erase(fetch);
  std::vector<Ref<ReadRequest>> waiters;
  waiters.swap(fetch.waiters);
  for (const Ref<ReadRequest>& request : waiters) {
    fail_waiter_locked(request, fetch, error, final, follow);
  }
}

// Whoever only joined somebody else's download gets an attempt of his own: an error is answered to
// the request whose download it was, and to the ranges it was about.
void RemoteFile::fail_waiter_locked(const Ref<ReadRequest>& request, Fetch& fetch,
                                    const Error& error, bool final, FollowUp& follow) {
  const bool own = fetch.request_id == request->id;
  const MonoTime until = request->deadline;
  for (size_t i = 0; i < request->parts.size() && !request->finished;) {
    const ReadPart& part = request->parts[i];
    if (part.done || part.fetch.get() != &fetch || collect_part_locked(request->parts[i])) {
      ++i;
      continue;
    }
    const bool again = !own && !final && part.plans < kPlansMax && !core_->closing &&
                       !superseded_ && core_->now() < until;
    if (!again) {
      if (error.code() == ETIMEDOUT) core_->stats.timeouts.add();
      finish_locked(*request, error, follow);
      return;
    }
    const ReadPart failed = part;
    const size_t before = request->parts.size();
    request->parts.erase(request->parts.begin() + static_cast<ptrdiff_t>(i));
    plan_part_locked(request, i, failed, follow);
    i += request->parts.size() - before + 1;
  }
  collect_locked(*request, follow);
}

}  // namespace netfs
