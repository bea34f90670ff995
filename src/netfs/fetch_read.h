#pragma once
// FetchRead: the subrequest that fills a part of a fetch; lives from its issue to its end.
//
// It holds its file, fetch and handle, so everything it touches is there even when whoever asked
// is not, and even after the library was closed.

#include <algorithm>
#include <memory>
#include <utility>

#include "netfs/follow_up.h"
#include "netfs/remote_file.h"
#include "netfs/subrequest.h"

namespace netfs {

class FetchRead final : public Subrequest {
 public:
  FetchRead(Ref<RemoteFile> file, FollowUp::Issue issue)
      : Subrequest(*issue.handle, issue.range, destination_of(issue),
                   Deadline{issue.fetch->deadline}),
        file_(std::move(file)),
        issue_(std::move(issue)),
        flight_(file_->core().link.begin(file_->core().now())) {}

  void progress(uint64_t bytes) override {
    if (issue_.is_ahead && bytes >= came_bytes_ + kToldBytes) note_came(bytes);
    if (issue_.unproven) return;
    file_->piece_progressed(*issue_.fetch,
                            range().offset_bytes + std::min(bytes, range().length_bytes));
  }

  void time_moved(Deadline deadline) override { file_->time_moved(*issue_.fetch, deadline.at); }
  [[nodiscard]] bool awaited() const override { return issue_.fetch->awaited; }

  void terminated(ReadOutcome outcome) override {
    const Ref<LibraryCore> keep(&file_->core());
    std::unique_ptr<FetchRead> self(this);
    LibraryCore& core = *keep;
    const MonoTime now = core.now();
    core.stats.origin_latency.record(now - flight_.began);
    if (outcome.transferred_bytes.ok()) {
      core.stats.origin_reads.done.add();
      const uint64_t bytes = std::min(outcome.transferred_bytes.value(), range().length_bytes);
      core.stats.bytes_downloaded.add(bytes);
      core.link.end(flight_, bytes, now);
    } else {
      core.stats.origin_reads.failed.add();
    }
    const bool was_ahead = issue_.is_ahead;
    if (was_ahead) core.ahead.ended(range().length_bytes - came_bytes_);
    file_->piece_ended(issue_, std::move(outcome));
    self = nullptr;  // with its hold on the origin's file
    if (was_ahead) core.pump_ahead();
    core.subrequest_closed();
  }

 private:
  static std::span<std::byte> destination_of(const FollowUp::Issue& issue) {
    const size_t from = issue.range.offset_bytes - issue.fetch->range.offset_bytes;
    return issue.fetch->buffer->writable().subspan(from, issue.range.length_bytes);
  }

  // What reads ahead wait for is told in steps of this.
  static constexpr uint64_t kToldBytes = uint64_t{256} << 10;

  void note_came(uint64_t bytes) {
    bytes = std::min(bytes, range().length_bytes);
    file_->core().ahead.came(bytes - std::exchange(came_bytes_, bytes));
    file_->core().pump_ahead();
  }

  const Ref<RemoteFile> file_;
  const FollowUp::Issue issue_;
  const LinkEstimate::Flight flight_;
  uint64_t came_bytes_ = 0;  // of a read ahead, as far as it was told
};

}  // namespace netfs
