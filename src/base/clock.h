#pragma once
// Clock: where time comes from; tests bring their own.
//
// MonoTime orders and bounds waits; WallTime is compared with file times.  The core calls no now()
// but through a Clock that its constructor was given.  Thread-safe.

#include <chrono>
#include <cstdint>

namespace netfs {

using MonoTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

// Seconds and nanoseconds since 1970, as file times are; nanoseconds < 1e9.
struct Timestamp {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  friend constexpr auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonoTime now() const = 0;
  [[nodiscard]] virtual Timestamp wall() const = 0;

  // The machine's clocks; lives for ever.
  static const Clock& system();
};

// The moment until which an operation may take; every wait on an origin has one.
struct Deadline {
  MonoTime at = MonoTime::max();

  static Deadline after(const Clock& clock, Duration timeout) { return {clock.now() + timeout}; }
  static Deadline within(Duration timeout) { return after(Clock::system(), timeout); }
  static Deadline never() { return {}; }
  [[nodiscard]] bool passed(MonoTime now) const { return now >= at; }
};

}  // namespace netfs
