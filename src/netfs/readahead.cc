#include "netfs/readahead.h"

#include <algorithm>
#include <bit>

namespace netfs {

namespace {

uint64_t distance(uint64_t a, uint64_t b) {
  return a > b ? a - b : b - a;
}

// A stream is trusted over gaps in the measure of what it has proved.
uint64_t slack(uint64_t proved_bytes, uint64_t length_bytes) {
  return std::min(std::max(2 * length_bytes, proved_bytes), ReadaheadDetector::kSlackBytesMax);
}

}  // namespace

bool ReadaheadDetector::continues_forward(const Stream& stream, ByteRange asked) {
  if (stream.pattern == AccessPattern::kBackward) return false;
  return asked.offset_bytes >= stream.low_bytes &&
         distance(asked.offset_bytes, stream.next_bytes) <=
             slack(stream.proved_bytes, asked.length_bytes);
}

bool ReadaheadDetector::continues_backward(const Stream& stream, ByteRange asked) {
  if (stream.pattern == AccessPattern::kSequential) return false;
  return asked.offset_bytes < stream.low_bytes &&
         distance(asked.end_bytes(), stream.low_bytes) <=
             slack(stream.proved_bytes, asked.length_bytes);
}

ReadaheadDetector::Stream* ReadaheadDetector::find(ByteRange asked) {
  Stream* best = nullptr;
  uint64_t best_distance = UINT64_MAX;
  for (Stream& stream : streams_) {
    if (stream.used == 0) continue;
    uint64_t away = UINT64_MAX;
    if (continues_forward(stream, asked)) {
      away = distance(asked.offset_bytes, stream.next_bytes);
    } else if (continues_backward(stream, asked)) {
      away = distance(asked.end_bytes(), stream.low_bytes);
    }
    if (away < best_distance) {
      best = &stream;
      best_distance = away;
    }
  }
  return best;
}

// A new stream takes the place of one that led nowhere, else of the one longest unused.
ReadaheadDetector::Stream& ReadaheadDetector::begin(ByteRange asked) {
  Stream* newest = &streams_[0];
  Stream* victim = &streams_[0];
  const auto worth = [](const Stream& stream) {
    return std::pair(stream.steps > 0 && stream.used > 0, stream.used);
  };
  for (Stream& stream : streams_) {
    if (stream.used > newest->used) newest = &stream;
    if (worth(stream) < worth(*victim)) victim = &stream;
  }
  Stream stream;
  stream.low_bytes = asked.offset_bytes;
  stream.next_bytes = asked.end_bytes();
  stream.last = asked;
  if (newest->used > 0 && newest->last.length_bytes == asked.length_bytes) {
    stream.stride_bytes =
        static_cast<int64_t>(asked.offset_bytes) - static_cast<int64_t>(newest->last.offset_bytes);
    const bool equal = stream.stride_bytes == newest->stride_bytes;
    stream.strides = equal ? newest->strides + 1 : 1;
    if (stream.strides >= kStridesToProve) {
      stream.pattern = AccessPattern::kStrided;
      victim = newest;  // it is the same walk
    }
  }
  if (asked.offset_bytes == 0) {
    stream.pattern = AccessPattern::kSequential;  // whoever begins at the start mostly goes on
    stream.proved_bytes = asked.length_bytes;
  }
  *victim = stream;
  return *victim;
}

void ReadaheadDetector::advance(Stream& stream, ByteRange asked) {
  const bool backward = asked.offset_bytes < stream.low_bytes;
  if (asked.end_bytes() <= stream.next_bytes && !backward) return;  // seen before: proves nothing
  if (stream.pattern != AccessPattern::kSequential && stream.pattern != AccessPattern::kBackward) {
    stream.pattern = backward ? AccessPattern::kBackward : AccessPattern::kSequential;
    stream.proved_bytes = stream.last.length_bytes;
    stream.planned_bytes = backward ? asked.offset_bytes : asked.end_bytes();
  }
  ++stream.steps;
  stream.proved_bytes += asked.length_bytes;
  stream.low_bytes = std::min(stream.low_bytes, asked.offset_bytes);
  stream.next_bytes = std::max(stream.next_bytes, asked.end_bytes());
  stream.last = asked;
}

ReadaheadPlan ReadaheadDetector::note(ByteRange asked, const ReadaheadLimits& limits) {
  Stream* stream = find(asked);
  if (stream != nullptr) {
    advance(*stream, asked);
  } else {
    stream = &begin(asked);
  }
  stream->used = ++uses_;
  ReadaheadPlan plan;
  plan.pattern = stream->pattern;
  switch (stream->pattern) {
    case AccessPattern::kSequential:
      plan_forward(*stream, limits, plan);
      break;
    case AccessPattern::kBackward:
      plan_backward(*stream, limits, plan);
      break;
    case AccessPattern::kStrided:
      plan_strides(*stream, limits, plan);
      break;
    case AccessPattern::kRandom:
      break;
  }
  return plan;
}

void ReadaheadDetector::cut_plan(uint64_t offset_bytes) {
  for (Stream& stream : streams_) {
    if (stream.used != uses_) continue;
    stream.planned_bytes = stream.pattern == AccessPattern::kBackward
                               ? stream.low_bytes
                               : std::min(stream.planned_bytes, offset_bytes);
  }
}

uint64_t ReadaheadDetector::window_of(const Stream& stream, const ReadaheadLimits& limits) {
  uint64_t window = std::max(kFirstWindowBytes, kGrowth * stream.proved_bytes);
  if (limits.link_bytes > 0) {
    // Of reads that take turns no more is under way for a longer window (reads_ahead.h).
    const bool young =
        limits.reads_ahead == 0 && stream.proved_bytes < kYoungFactor * limits.link_bytes;
    const uint64_t factor = young ? kYoungWindowFactor : kWindowFactor;
    window = std::min(window, std::max(kWindowBytesMin, factor * limits.link_bytes));
  }
  return std::min(window, limits.window_bytes_max);
}

uint64_t ReadaheadDetector::piece_bytes_min(const ReadaheadLimits& limits) {
  if (limits.reads_ahead == 0 || limits.trip_bytes == 0) return 0;
  const uint64_t ahead = std::min(kPiecesFactor * limits.trip_bytes, limits.window_bytes_max);
  return std::min(std::bit_ceil(ahead / limits.reads_ahead + 1),
                  std::bit_floor(limits.read_bytes_max));
}

namespace {

// Fetching starts when so much of a window is free: whole subrequests, not dribbles.
uint64_t worth_fetching(uint64_t window) {
  return std::max(uint64_t{64} << 10, std::min(window / 8, uint64_t{1} << 20));
}

}  // namespace

void ReadaheadDetector::plan_forward(Stream& stream, const ReadaheadLimits& limits,
                                     ReadaheadPlan& plan) {
  const uint64_t window = window_of(stream, limits);
  const uint64_t from = std::max(stream.planned_bytes, stream.next_bytes);
  uint64_t to = stream.next_bytes + window;
  if (const uint64_t piece = piece_bytes_min(limits)) to = round_up(to, piece);
  to = std::min(to, limits.file_bytes);
  if (to <= from) return;
  if (to - from < worth_fetching(window) && to < limits.file_bytes) return;
  plan.ranges.push_back({from, to - from});
  stream.planned_bytes = to;
}

void ReadaheadDetector::plan_backward(Stream& stream, const ReadaheadLimits& limits,
                                      ReadaheadPlan& plan) {
  const uint64_t window = window_of(stream, limits);
  const uint64_t to = std::min(stream.planned_bytes, stream.low_bytes);
  uint64_t from = stream.low_bytes > window ? stream.low_bytes - window : 0;
  if (const uint64_t piece = piece_bytes_min(limits)) from = round_down(from, piece);
  if (to <= from) return;
  if (to - from < worth_fetching(window) && from > 0) return;
  plan.ranges.push_back({from, to - from});
  stream.planned_bytes = from;
}

void ReadaheadDetector::plan_strides(const Stream& stream, const ReadaheadLimits& limits,
                                     ReadaheadPlan& plan) {
  for (uint64_t i = 1; i <= kStridesAhead; ++i) {
    const int64_t at = static_cast<int64_t>(stream.last.offset_bytes) +
                       stream.stride_bytes * static_cast<int64_t>(i);
    if (at < 0 || static_cast<uint64_t>(at) >= limits.file_bytes) return;
    const ByteRange range{static_cast<uint64_t>(at), stream.last.length_bytes};
    plan.ranges.push_back(range.intersect({0, limits.file_bytes}));
  }
}

}  // namespace netfs
