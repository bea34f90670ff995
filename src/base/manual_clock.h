#pragma once
// ManualClock: a clock that stands still until a test advances it.  Thread-safe.

#include <atomic>

#include "base/clock.h"

namespace netfs {

class ManualClock final : public Clock {
 public:
  [[nodiscard]] MonoTime now() const override { return MonoTime(Duration(elapsed_ns_.load())); }
  [[nodiscard]] Timestamp wall() const override {
    const int64_t ns = elapsed_ns_.load();
    return {kEpochSeconds + ns / 1'000'000'000, static_cast<uint32_t>(ns % 1'000'000'000)};
  }
  void advance(Duration by) { elapsed_ns_ += by.count(); }

  static constexpr int64_t kEpochSeconds = 1'700'000'000;

 private:
  std::atomic<int64_t> elapsed_ns_{1'000'000'000};
};

}  // namespace netfs
