// Outcomes that carry no validator: the origin is asked, once for all that are waiting.

#include <utility>

#include "netfs/read_retry.h"
#include "netfs/remote_file.h"

namespace netfs {

void RemoteFile::confirm_later_locked(Fetch& fetch, FollowUp& follow) {
  fetch.state = FetchState::kConfirming;
  unconfirmed_.emplace_back(&fetch);
  // Whoever comes to wait for what is to be confirmed first is not to stand behind strangers.
  const bool awaited = !fetch.waiters.empty() || (fetch.confirm_first && asked_);
  if (!confirming_ || awaited) confirm_soon_locked(awaited, follow);
}

// One that stands in a queue where nobody is waited for is asked for once more by who waits: the
// first of the two takes all there is, and the other one finds nothing.
void RemoteFile::confirm_soon_locked(bool awaited, FollowUp& follow) {
  if (confirming_ && !confirming_later_) return;
  confirming_ = true;
  confirming_later_ = !awaited;
  follow.confirm = true;
  follow.confirm_awaited = awaited;
}

// On a worker that may wait for the origin.  The question is put after the last byte of each fetch
// in the batch was read, so one answer speaks for all of them.
void RemoteFile::confirm() {
  std::vector<Ref<Fetch>> batch;
  uint64_t serial = 0;
  {
    sync::MutexLock lock(mutex_);
    if (unconfirmed_.empty()) return;
    batch.swap(unconfirmed_);
    confirming_later_ = false;
    serial = handle_serial_;
  }
  Result<NodeInfo> info = Error(ECANCELED, "netfs.close");
  if (!core_->closing) {
    core_->stats.confirmations.issued.add();
    info = core_->options.origin.stat(version_.path, core_->deadline());
    (info.ok() ? core_->stats.confirmations.done : core_->stats.confirmations.failed).add();
  }
  const bool same = info.ok() && info.value().validator == version_.validator &&
                    info.value().attributes.size_bytes == version_.size_bytes;
  const bool other = info.ok() ? !same : info.is_error(ENOENT);
  FollowUp follow{Ref<RemoteFile>(this)};
  {
    sync::MutexLock lock(mutex_);
    if (same && serial == handle_serial_) handle_confirmed_ = true;
    for (const Ref<Fetch>& fetch : batch) {
      if (!fetch->waiters.empty()) follow.context = fetch->waiters.front()->context;
      const bool given_out = fetch->visible_bytes == fetch->range.length_bytes;
      if (other) {
        stale_locked(*fetch, follow);
      } else if (same) {
        confirmed_locked(*fetch, follow);
      } else if (given_out) {
        keep_locked(*fetch, follow);
      } else if (fetch->error) {
        fail_fetch_locked(*fetch, final_error(info.error()), false, follow);
      } else {
        trouble_locked(*fetch, info.error(), follow);  // its bytes stay, and are asked about again
      }
    }
    confirming_ = !unconfirmed_.empty();
    follow.confirm = confirming_;
    follow.confirm_awaited = confirming_;  // it may be
    confirming_later_ = false;
    pump_locked(follow);
  }
  std::move(follow).run();
}

void RemoteFile::confirmed_locked(Fetch& fetch, FollowUp& follow) {
  fetch.confirmed = true;
  if (fetch.error) {
    fail_fetch_locked(fetch, *fetch.error, true, follow);
  } else {
    keep_locked(fetch, follow);
  }
}

}  // namespace netfs
