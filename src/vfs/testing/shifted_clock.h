#pragma once
// ShiftedClock: the machine's clock, which a test may set on.

#include <atomic>

#include "base/clock.h"

namespace netfs::vfs {

class ShiftedClock final : public Clock {
 public:
  [[nodiscard]] MonoTime now() const override { return system().now() + shift_.load(); }
  [[nodiscard]] Timestamp wall() const override { return system().wall(); }
  void shift(Duration by) { shift_ = by; }

 private:
  std::atomic<Duration> shift_{Duration(0)};
};

}  // namespace netfs::vfs
