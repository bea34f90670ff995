#pragma once
// WaitedWrite: one write to an origin's file that a test waits for.
//
//   const WriteOutcome outcome = WaitedWrite(*opened.file, 0, "bytes").run(writer);

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/clock.h"
#include "netfs/origin_writer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "tests/origin-conformance/reads.h"

namespace netfs::test {

class WaitedWrite final : public WriteSubrequest {
 public:
  // `bytes` outlives it.
  WaitedWrite(OriginFile& file, uint64_t offset, const std::string& bytes,
              Duration timeout = std::chrono::seconds(60))
      : WriteSubrequest(file, {offset, bytes.size()},
                        std::as_bytes(std::span(bytes.data(), bytes.size())), {},
                        Deadline::after(Clock::system(), timeout)) {}
  void terminated(WriteOutcome outcome) override {
    sync::MutexLock lock(mutex_);
    outcome_ = std::move(outcome);
    ended_.notify_all();
  }
  WriteOutcome run(OriginWriter& writer) {
    writer.issue_write(*this);
    sync::MutexLock lock(mutex_);
    while (!outcome_) ended_.wait(mutex_);
    return *outcome_;
  }

 private:
  sync::Mutex mutex_{kTestReadLock};
  sync::CondVar ended_;
  std::optional<WriteOutcome> outcome_ GUARDED_BY(mutex_);
};

}  // namespace netfs::test
