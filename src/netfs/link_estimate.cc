#include "netfs/link_estimate.h"

#include <algorithm>
#include <bit>

namespace netfs {

namespace {

constexpr double kDelayDriftPerSecond = 1.0 / 300;
constexpr double kRateDecayPerSecond = 0.1;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

LinkEstimate::Flight LinkEstimate::begin(MonoTime now) {
  sync::MutexLock lock(mutex_);
  return {now, delivered_bytes_};
}

void LinkEstimate::end(const Flight& flight, uint64_t bytes, MonoTime now) {
  const double took = std::max(seconds(now - flight.began), 1e-6);
  sync::MutexLock lock(mutex_);
  // Idle time says nothing of the link, so at most a second of it counts.
  const double since = std::clamp(seconds(now - last_), 0.0, 1.0);
  last_ = now;
  delivered_bytes_ += bytes;
  delay_s_ = delay_s_ < 0 ? took : std::min(took, delay_s_ * (1 + since * kDelayDriftPerSecond));
  const double rate = static_cast<double>(delivered_bytes_ - flight.delivered_before_bytes) / took;
  rate_ = std::max(rate, rate_ * (1 - since * kRateDecayPerSecond));
}

Duration LinkEstimate::delay() const {
  sync::MutexLock lock(mutex_);
  return Duration(static_cast<int64_t>(std::max(delay_s_, 0.0) * 1e9));
}

uint64_t LinkEstimate::bytes_per_second() const {
  sync::MutexLock lock(mutex_);
  return static_cast<uint64_t>(rate_);
}

uint64_t LinkEstimate::link_bytes() const {
  sync::MutexLock lock(mutex_);
  if (delay_s_ < 0) return 0;
  return static_cast<uint64_t>(rate_ * (delay_s_ + seconds(kJitter)));
}

uint64_t LinkEstimate::trip_bytes() const {
  sync::MutexLock lock(mutex_);
  return static_cast<uint64_t>(rate_ * std::max(delay_s_, 0.0));
}

uint64_t LinkEstimate::piece_bytes(uint64_t min_bytes, uint64_t max_bytes) const {
  sync::MutexLock lock(mutex_);
  if (delay_s_ < 0) return std::clamp(uint64_t{256} << 10, min_bytes, max_bytes);
  const auto wanted = static_cast<uint64_t>(rate_ * seconds(kPieceTime));
  return std::clamp(std::bit_floor(std::max<uint64_t>(wanted, 1)), min_bytes, max_bytes);
}

}  // namespace netfs
