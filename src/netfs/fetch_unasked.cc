// Fetches for who has not opened the file yet: whoever reads the files of a directory in order.
//
// Nobody waits, so nothing here takes the place of who does: an open that blocks is done on workers
// of its own, where the origin cannot leave it to the first read, and who comes to wait meanwhile
// opens the file himself.  Once all is here the origin's file is closed: its reader needs none.

#include <algorithm>
#include <utility>

#include "netfs/offload.h"
#include "netfs/remote_file.h"

namespace netfs {

std::optional<uint64_t> RemoteFile::fetch_unasked(uint64_t bytes_max) {
  const bool racy = is_racy(version_.validator, core_->capabilities.validator_granularity,
                            core_->options.clock.wall());
  if (racy || !has_validator() || superseded_ || !core_->options.readahead) return 0;
  if (cookie_ && cookie_->state() >= ObjectState::kComplete) return 0;
  if (cookie_ && core_->offload().lags()) {
    core_->stats.readahead_held.add();
    return std::nullopt;
  }
  const ByteRange wanted{0, std::min(bytes_max, version_.size_bytes)};
  if (wanted.empty()) return 0;
  const Reached reached = fetch_all_ahead(wanted);
  if (reached.issued_bytes == 0 && reached.end_bytes < wanted.end_bytes()) return std::nullopt;
  return reached.issued_bytes;
}

void RemoteFile::open_unasked() {
  if (std::unique_ptr<OriginFile> handle = core_->options.origin.open_by_read(version_.path)) {
    return take_opened(std::move(handle), OpenedBy::kRead);
  }
  bool waited = false;
  {
    sync::MutexLock lock(mutex_);
    waited = asked_;
    opening_later_ = !waited;
  }
  Ref<RemoteFile> self(this);
  // Refused only when the library closes, and then every request is ended anyway.
  if (waited) {
    (void)core_->waiting.post([self = std::move(self)] { self->open_in_turn(); });
    return;
  }
  (void)core_->opening.post([self = std::move(self)] { self->open_unasked_now(); });
}

void RemoteFile::open_unasked_now() {
  {
    sync::MutexLock lock(mutex_);
    if (!opening_later_) return;  // somebody who waits does it
    opening_later_ = false;
  }
  open_origin();
}

std::shared_ptr<OriginFile> RemoteFile::take_idle_handle_locked() {
  if (!handle_unasked_ || in_flight_ > 0 || !queued_.empty() || opening_) return nullptr;
  handle_confirmed_ = false;
  return std::exchange(handle_, nullptr);
}

}  // namespace netfs
