#pragma once
// ReadaheadDetector: from what a handle was asked, tells what to fetch before it is asked.  Pure.
//
// It follows up to eight streams on one handle, for a program may read two parts of a file in turn
// and the kernel sends its own readahead out of order and from several threads.  A read belongs to
// a stream when it begins near where the stream is; else it begins a new one.
//
//   sequential  a stream from offset 0, or one that went on twice: a window ahead of the reader
//   backward    the same, towards the start of the file
//   strided     equal reads at equal distances, three times: the next few of them
//   random      all else: nothing but the asked blocks
//
// The window grows with what the stream has proved, kGrowth times the bytes read in sequence, and
// is bounded by what the link holds (link_estimate.h) times kWindowFactor once that is known.  So a
// reader who has taken 1 MiB has 4 MiB under way, and one that only looks at a header costs 1 MiB.
//
// Where the origin carries out few reads at a time, so many pieces must make a window: on a long
// link they are longer than its speed alone would have them, and a window moves on by whole ones.
//
// Not thread-safe: see ReadStream.

#include <array>
#include <cstdint>
#include <vector>

#include "base/byte_range.h"

namespace netfs {

// What bounds a window.
struct ReadaheadLimits {
  uint64_t file_bytes = 0;
  uint64_t window_bytes_max = uint64_t{48} << 20;  // the memory's share
  uint64_t link_bytes = 0;                         // what the link holds; 0 while unknown
  uint64_t trip_bytes = 0;                         // of that, on its way in a round trip
  // How many reads the origin carries out at a time (OriginCapabilities::reads_ahead).
  unsigned reads_ahead = 0;
  uint64_t read_bytes_max = uint64_t{1} << 20;  // and the longest of them
};

enum class AccessPattern : uint8_t { kRandom, kSequential, kBackward, kStrided };

struct ReadaheadPlan {
  AccessPattern pattern = AccessPattern::kRandom;
  // What to fetch if it is not there: ranges within the file, nearest first, not aligned.  Empty
  // while enough is under way.
  std::vector<ByteRange> ranges;
};

class ReadaheadDetector {
 public:
  // Notes a read (not empty, within the file), in the order of arrival; says what to fetch beyond.
  ReadaheadPlan note(ByteRange asked, const ReadaheadLimits& limits);

  // What a window is cut into at least, a power of two; 0: whatever else says so.  The window is
  // then longer by up to one of these.
  static uint64_t piece_bytes_min(const ReadaheadLimits& limits);

  // Memory was short: of the last plan, nothing from this offset on was fetched.
  void cut_plan(uint64_t offset_bytes);

  static constexpr uint64_t kStreamsMax = 8;
  static constexpr uint64_t kFirstWindowBytes = uint64_t{1} << 20;
  static constexpr uint64_t kWindowBytesMin = uint64_t{256} << 10;
  static constexpr uint64_t kGrowth = 4;  // window per byte read in sequence
  // Window per byte the link holds: while the stream is young and the estimate still grows with
  // the window, and once it has read kYoungFactor times what the link holds.
  static constexpr uint64_t kYoungWindowFactor = 5;
  static constexpr uint64_t kWindowFactor = 2;
  static constexpr uint64_t kYoungFactor = 4;
  // All reads that an origin carries out at a time are so many times as long as what is on its way:
  // twice what is to be under way (reads_ahead.h), so that an estimate may still grow.
  static constexpr uint64_t kPiecesFactor = 3;
  // How far from its expected place a read may begin and still belong to a stream that has proved
  // as much: the kernel has some requests of up to 1 MiB under way at once, in any order.
  static constexpr uint64_t kSlackBytesMax = uint64_t{4} << 20;
  static constexpr unsigned kStridesToProve = 3;
  static constexpr uint64_t kStridesAhead = 4;

 private:
  struct Stream {
    AccessPattern pattern = AccessPattern::kRandom;
    uint64_t low_bytes = 0;      // lowest offset asked: where a backward stream is
    uint64_t next_bytes = 0;     // highest end asked: where a forward stream is
    uint64_t planned_bytes = 0;  // forward: all before it is under way; backward: all after it
    uint64_t proved_bytes = 0;   // asked in sequence so far
    ByteRange last;              // the last read
    int64_t stride_bytes = 0;    // from the read before it, of whatever stream
    unsigned strides = 0;        // equal strides in a row
    unsigned steps = 0;          // reads that continued it
    uint64_t used = 0;           // when it was used last; 0: a free entry
  };

  Stream* find(ByteRange asked);
  Stream& begin(ByteRange asked);
  static void advance(Stream& stream, ByteRange asked);
  static bool continues_forward(const Stream& stream, ByteRange asked);
  static bool continues_backward(const Stream& stream, ByteRange asked);
  static uint64_t window_of(const Stream& stream, const ReadaheadLimits& limits);
  static void plan_forward(Stream& stream, const ReadaheadLimits& limits, ReadaheadPlan& plan);
  static void plan_backward(Stream& stream, const ReadaheadLimits& limits, ReadaheadPlan& plan);
  static void plan_strides(const Stream& stream, const ReadaheadLimits& limits,
                           ReadaheadPlan& plan);

  std::array<Stream, kStreamsMax> streams_;
  uint64_t uses_ = 0;
};

}  // namespace netfs
