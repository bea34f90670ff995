#include "netfs/link_estimate.h"

#include <algorithm>
#include <bit>

namespace netfs {

namespace {

constexpr double kDelayDriftPerSecond = 1.0 / 300;
constexpr double kRateDecayPerSecond = 0.1;
constexpr double kGrowth = 1.1;
// The rate stands when it did not grow for so many delays: a window takes one to show what it
// gives.
constexpr double kStandsAfterDelays = 3;

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
  if (rate_ > plateau_ * kGrowth || rate_ < plateau_ / 2) {
    plateau_ = rate_;
    grew_at_ = now;
  }
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

uint64_t LinkEstimate::under_way_bytes() const {
  sync::MutexLock lock(mutex_);
  if (delay_s_ < 0) return 0;
  const bool stands = seconds(last_ - grew_at_) > delay_s_ * kStandsAfterDelays;
  const double factor = stands ? 1.125 : 1.5;
  return static_cast<uint64_t>(rate_ * std::max(delay_s_ * factor, seconds(kShortTime)));
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
