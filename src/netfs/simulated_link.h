#pragma once
// SimulatedLink: puts a slow link before any origin, for demonstrations and benchmarks.
//
// Every call takes one round trip more, and all bytes read share one bandwidth, first come first
// served: a read's request travels half a round trip, its bytes queue for the link, and travel the
// other half.  Bytes arrive in steps of 64 KiB (Subrequest::progress()).
//
// Thread-safe.  The inner origin outlives it.
//
//   SimulatedLink link(*origin, MUST(parse_link_shape("rtt=20ms,bandwidth=1Gbit")));

#include <memory>
#include <string>
#include <string_view>

#include "netfs/origin.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/work_queue.h"

namespace netfs {

struct LinkShape {
  Duration round_trip{};
  uint64_t bits_per_second = 0;  // 0: no limit
};

// "rtt=20ms,bandwidth=1Gbit", either part alone, in any order.  Times end in us, ms or s;
// bandwidths in bit, Kbit, Mbit or Gbit (powers of ten).  EINVAL says which word is wrong.
Result<LinkShape> parse_link_shape(std::string_view text);

class SimulatedLinkLocks;
class SimulatedLinkWriter;

class SimulatedLink final : public Origin {
 public:
  SimulatedLink(Origin& inner, LinkShape shape);
  ~SimulatedLink() override;

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return inner_.capabilities();
  }
  [[nodiscard]] unsigned listings_ahead() const override { return inner_.listings_ahead(); }
  [[nodiscard]] std::string volume_key() const override { return inner_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] OriginWriter* writer() override;
  [[nodiscard]] OriginLocks* locks() override;
  [[nodiscard]] StatusFields status() const override;

 private:
  class Read;
  friend class SimulatedLinkLocks;
  friend class SimulatedLinkWriter;

  // Blocks for a round trip; ETIMEDOUT at the deadline, ECANCELED when the link goes.
  Result<void> travel(Deadline deadline) EXCLUDES(mutex_);
  // Books the link for so many bytes from now on; returns when the first one leaves.
  MonoTime book(uint64_t bytes) EXCLUDES(mutex_);
  [[nodiscard]] Duration transfer_time(uint64_t bytes) const;
  [[nodiscard]] Duration half() const { return shape_.round_trip / 2; }
  // Runs `step` after so long; false when the link goes.
  bool later(Duration after, sync::WorkQueue::Work step);

  Origin& inner_;
  const LinkShape shape_;
  sync::Mutex mutex_;
  sync::CondVar stopped_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  MonoTime free_at_ GUARDED_BY(mutex_);          // when the link has sent all that is booked
  std::unique_ptr<SimulatedLinkWriter> writer_;  // null where the inner origin has none
  std::unique_ptr<SimulatedLinkLocks> locks_;    // the same
  sync::WorkQueue travelling_;                   // one thread, so that a read's steps stay in order
};

}  // namespace netfs
