#include "lockdep_preload/lock_times.h"

#include <algorithm>
#include <bit>
#include <ctime>

namespace netfs::lockdep_preload {
namespace {

// In the largest unit that leaves at least one before the point: 999ns, 1.5us, 12.0ms, 3.1s.
std::string duration(uint64_t ns) {
  if (ns < 1000) return std::to_string(ns) + "ns";
  uint64_t unit = 1000;
  const char* name = "us";
  for (const char* larger : {"ms", "s"}) {
    if (ns < unit * 1000) break;
    unit *= 1000;
    name = larger;
  }
  return std::to_string(ns / unit) + "." + std::to_string(ns % unit * 10 / unit) + name;
}

std::string right(const std::string& text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string columns(const Histogram& times) {
  return right(std::to_string(times.count()), 11) + right(duration(times.sum_ns()), 9) +
         right(duration(times.percentile_ns(0.5)), 9) +
         right(duration(times.percentile_ns(0.99)), 9) + right(duration(times.most_ns()), 9);
}

}  // namespace

size_t Histogram::bucket_of(uint64_t ns) {
  if (ns < kSteps) return ns;
  // The first octave has its steps one by one; from there on the three bits below the highest one.
  const auto octave = static_cast<unsigned>(std::bit_width(ns)) - kStepBits;
  const uint64_t step = ns >> (octave - 1) & (kSteps - 1);
  return std::min<size_t>(octave * kSteps + step, kBuckets - 1);
}

uint64_t Histogram::end_of(size_t bucket) {
  if (bucket < kSteps) return bucket;
  const size_t octave = bucket / kSteps;
  return ((kSteps + bucket % kSteps + 1) << (octave - 1)) - 1;
}

uint64_t Histogram::count() const {
  uint64_t count = 0;
  for (const auto& bucket : buckets_) count += bucket.load(std::memory_order_relaxed);
  return count;
}

uint64_t Histogram::percentile_ns(double part) const {
  const auto wanted = static_cast<uint64_t>(part * static_cast<double>(count()));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i].load(std::memory_order_relaxed);
    if (seen > wanted || (seen == wanted && seen != 0)) return std::min(end_of(i), most_ns());
  }
  return 0;
}

uint64_t times_now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

std::string times_text(std::vector<NamedTimes> classes) {
  std::stable_sort(classes.begin(), classes.end(), [](const NamedTimes& a, const NamedTimes& b) {
    return a.times->waited.sum_ns() > b.times->waited.sum_ns();
  });
  std::string text =
      "      waits    total      p50      p99      max |"
      "      holds    total      p50      p99      max  class\n";
  for (const NamedTimes& one : classes) {
    text += columns(one.times->waited) + " |" + columns(one.times->held) + "  " + one.name + "\n";
  }
  return text;
}

}  // namespace netfs::lockdep_preload
