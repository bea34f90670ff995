// What the windows of a reader make of a long link with few connections: detector, estimate and a
// link that all connections share alike, in simulated time.

#include <algorithm>
#include <deque>
#include <gtest/gtest.h>
#include <set>
#include <vector>

#include "base/manual_clock.h"
#include "netfs/link_estimate.h"
#include "netfs/readahead.h"
#include "netfs/reads_ahead.h"
#include "netfs/remote_file.h"

namespace netfs {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kReadBytes = 128 << 10;
constexpr uint64_t kFileBytes = 1024 * kMiB;
constexpr double kBytesPerSecond = 125e6;
constexpr Duration kStep = std::chrono::milliseconds(1);
constexpr Duration kEarlyAndLate = std::chrono::microseconds(7);  // no two are alike

struct Link {
  Duration round_trip;
  size_t connections = 16;
};

// One piece of the file: waits for a connection, then for a round trip, then has its share.
struct Piece {
  ByteRange range;
  LinkEstimate::Flight flight;
  bool is_asked = false;  // the program waits for it already
  MonoTime answers_at{};
  double left_bytes = 0;
  uint64_t told_bytes = 0;
};

// One program that reads a file from its start to its end as fast as it comes.
class Reading {
 public:
  Reading(const Link& link, const ReadaheadLimits& limits)
      : link_(link), limits_(limits), ahead_(limits.reads_ahead) {}

  // Of the link's bytes, the part that was made use of.
  double share() {
    const MonoTime began = clock_.now();
    while (at_ < kFileBytes) {
      read();
      begin_answers();
      clock_.advance(kStep);
      deliver();
    }
    const double seconds = std::chrono::duration<double>(clock_.now() - began).count();
    return static_cast<double>(kFileBytes) / (seconds * kBytesPerSecond);
  }

  // Behind share(): what waited before the link at the worst of 95 in 100 steps, in its own time.
  Duration queue() {
    std::sort(queue_bytes_.begin(), queue_bytes_.end());
    const double bytes = queue_bytes_[queue_bytes_.size() * 95 / 100];
    return Duration(static_cast<int64_t>(bytes / kBytesPerSecond * 1e9));
  }

 private:
  bool is_here(uint64_t end) const {
    return std::all_of(open_.begin(), open_.end(),
                       [&](ByteRange range) { return range.offset_bytes >= end; });
  }

  // Asks for the next reads, as long as what they want is here.
  void read() {
    while (at_ < kFileBytes) {
      const ByteRange asked{at_, kReadBytes};
      if (asked.end_bytes() > noted_) note(asked);
      if (!is_here(asked.end_bytes())) return;
      at_ = asked.end_bytes();
    }
  }

  void note(ByteRange asked) {
    noted_ = asked.end_bytes();
    ReadaheadLimits limits = limits_;
    limits.file_bytes = kFileBytes;
    limits.link_bytes = estimate_.link_bytes();
    limits.trip_bytes = estimate_.trip_bytes();
    const uint64_t piece =
        std::max(ReadaheadDetector::piece_bytes_min(limits), estimate_.piece_bytes(64 << 10, kMiB));
    if (asked.end_bytes() > planned_) ask({planned_, asked.end_bytes() - planned_}, kMiB / 2, true);
    for (const ByteRange& range : detector_.note(asked, limits).ranges) {
      const uint64_t from = std::max(range.offset_bytes, planned_);
      if (range.end_bytes() > from) ask({from, range.end_bytes() - from}, piece);
    }
  }

  void ask(ByteRange range, uint64_t piece_bytes, bool is_asked = false) {
    for (uint64_t at = range.offset_bytes; at < range.end_bytes();) {
      const uint64_t end = std::min(round_down(at, piece_bytes) + piece_bytes, range.end_bytes());
      const ByteRange piece{at, end - at};
      waiting_.push_back({.range = piece,
                          .flight = estimate_.begin(clock_.now()),
                          .is_asked = is_asked,
                          .left_bytes = static_cast<double>(piece.length_bytes)});
      open_.insert(piece);
      at = end;
    }
    planned_ = range.end_bytes();
  }

  void begin_answers() {
    while (!waiting_.empty() && under_way_.size() < link_.connections) {
      const uint64_t bytes = waiting_.front().range.length_bytes;
      if (!waiting_.front().is_asked &&
          !ahead_.begin(bytes, estimate_.under_way_bytes(), Ref<RemoteFile>())) {
        return;
      }
      waiting_.front().flight = estimate_.begin(clock_.now());
      jitter_ = (jitter_ + kEarlyAndLate) % kStep;
      waiting_.front().answers_at = clock_.now() + link_.round_trip + jitter_;
      under_way_.push_back(waiting_.front());
      waiting_.pop_front();
    }
  }

  // What has been sent and does not pass yet waits before the link.
  void note_queue() {
    double waits = 0;
    for (const Piece& piece : under_way_) waits += is_coming(piece) ? piece.left_bytes : 0;
    queue_bytes_.push_back(waits);
  }

  // A step of time for all that are being answered, each as much as the others.
  void deliver() {
    note_queue();
    double bytes = kBytesPerSecond * std::chrono::duration<double>(kStep).count();
    for (size_t count = 1; bytes > 1 && count > 0;) {
      count = 0;
      for (const Piece& piece : under_way_) count += is_coming(piece) ? 1 : 0;
      const double share = bytes / static_cast<double>(std::max<size_t>(count, 1));
      for (Piece& piece : under_way_) {
        if (!is_coming(piece)) continue;
        const double part = std::min(share, piece.left_bytes);
        piece.left_bytes -= part;
        bytes -= part;
        if (!piece.is_asked) note_came(piece);
      }
    }
    std::erase_if(under_way_, [&](const Piece& piece) {
      if (piece.left_bytes > 0.5) return false;
      if (!piece.is_asked) ahead_.ended(piece.range.length_bytes - piece.told_bytes);
      estimate_.end(piece.flight, piece.range.length_bytes, clock_.now());
      open_.erase(open_.find(piece.range));
      return true;
    });
  }
  void note_came(Piece& piece) {
    const uint64_t came = piece.range.length_bytes - static_cast<uint64_t>(piece.left_bytes);
    ahead_.came(came - std::exchange(piece.told_bytes, came));
  }
  bool is_coming(const Piece& piece) const {
    return piece.answers_at <= clock_.now() && piece.left_bytes > 0.5;
  }

  struct ByOffset {
    bool operator()(ByteRange a, ByteRange b) const { return a.offset_bytes < b.offset_bytes; }
  };

  const Link link_;
  const ReadaheadLimits limits_;
  ManualClock clock_;
  LinkEstimate estimate_;
  ReadaheadDetector detector_;
  ReadsAhead ahead_;
  uint64_t at_ = 0;       // what the program has read
  uint64_t noted_ = 0;    // what the detector was told of
  uint64_t planned_ = 0;  // all before it was asked for
  std::deque<Piece> waiting_;
  std::vector<Piece> under_way_;
  std::set<ByteRange, ByOffset> open_;
  Duration jitter_{};
  std::vector<double> queue_bytes_;  // at each step
};

double share_of(std::chrono::milliseconds round_trip, size_t connections, unsigned reads_ahead) {
  const ReadaheadLimits limits{.reads_ahead = reads_ahead, .read_bytes_max = 4 * kMiB};
  return Reading({round_trip, connections}, limits).share();
}

TEST(ReadaheadLink, FewConnectionsFillALongLink) {
  for (const unsigned ms : {0U, 5U, 20U, 50U, 100U, 150U}) {
    // At 150 ms the beginning takes its time.
    EXPECT_GT(share_of(std::chrono::milliseconds(ms), 16, 14), ms < 100 ? 0.96 : 0.9) << ms;
  }
}

// Routers keep about a round trip's worth before they drop; to ask for more than that and what is
// on its way loses of it.
TEST(ReadaheadLink, WhatWaitsBeforeALongLinkFitsItsBuffer) {
  for (const unsigned ms : {20U, 50U, 100U, 150U}) {
    const ReadaheadLimits limits{.reads_ahead = 14, .read_bytes_max = 4 * kMiB};
    Reading reading({std::chrono::milliseconds(ms)}, limits);
    reading.share();
    EXPECT_LT(reading.queue(), std::chrono::milliseconds(ms)) << ms;
  }
}

TEST(ReadaheadLink, StillFewerMakeOfItWhatTheyCan) {
  EXPECT_GT(share_of(std::chrono::milliseconds(50), 8, 7), 0.9);
  EXPECT_GT(share_of(std::chrono::milliseconds(50), 4, 4), 0.7);
}

// What it is for: that all begin at once, and as short as the link's speed would have them.
TEST(ReadaheadLink, WithoutTurnsTheLinkIsEmptyBetweenThem) {
  EXPECT_LT(share_of(std::chrono::milliseconds(100), 16, 0), 0.7);
}

}  // namespace
}  // namespace netfs
