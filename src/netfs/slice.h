#pragma once
// Slicing: cuts a read into slices, each of one source.  Pure.
//
// Slices tile the asked range in file order without gaps, cut at the end of the file.  A slice of
// the cache, of memory or of the origin lies within the blocks that its source has or lacks alike;
// fetch_range() rounds an origin slice out to whole blocks, the unit of download and store.
//
// Example: slice_read({0, 100 << 10}, 1 << 20, 64 << 10, occupancy) with block 0 stored is
// {cache 0..64K, origin 64K..100K}.

#include <cstdint>
#include <vector>

#include "base/byte_range.h"
#include "base/strong_id.h"

namespace netfs {

enum class Source : uint8_t {
  kZero,    // known to be zeroes: no I/O
  kMemory,  // downloaded, or being so, and not yet stored
  kCache,
  kOrigin,
};

struct Slice {
  Source source = Source::kOrigin;
  ByteRange range;
  friend bool operator==(const Slice&, const Slice&) = default;
};

// How many blocks from one on have the same source.
struct Run {
  Source source = Source::kOrigin;
  uint64_t count = 1;  // at least 1; may be more than was asked
};

// Cuts `range` at the end of the file.
constexpr ByteRange cut_at_end(ByteRange range, uint64_t file_bytes) {
  return range.intersect({0, file_bytes});
}

// The blocks that touch `range`, as bytes, cut at the end of the file.
constexpr ByteRange fetch_range(ByteRange range, uint32_t block_bytes, uint64_t file_bytes) {
  const uint64_t begin = round_down(range.offset_bytes, block_bytes);
  const uint64_t end = round_up(range.end_bytes(), block_bytes);
  return cut_at_end({begin, end - begin}, file_bytes);
}

// `occupancy(block, count_max)` -> Run.  `zero_point_bytes`: from there on the file is known to be
// zeroes.
template <class Occupancy>
std::vector<Slice> slice_read(ByteRange asked, uint64_t file_bytes, uint64_t zero_point_bytes,
                              uint32_t block_bytes, Occupancy&& occupancy) {
  std::vector<Slice> slices;
  const ByteRange range = cut_at_end(asked, file_bytes);
  uint64_t at = range.offset_bytes;
  const uint64_t data_end = range.empty() ? at : std::min(range.end_bytes(), zero_point_bytes);
  while (at < data_end) {
    const uint64_t block = at / block_bytes;
    const uint64_t count_max = (data_end - 1) / block_bytes - block + 1;
    const Run run = occupancy(BlockIndex(block), count_max);
    const uint64_t run_end = (block + std::min(run.count, count_max)) * block_bytes;
    const uint64_t end = std::min(run_end, data_end);
    if (!slices.empty() && slices.back().source == run.source) {
      slices.back().range.length_bytes += end - at;
    } else {
      slices.push_back({run.source, {at, end - at}});
    }
    at = end;
  }
  if (at < range.end_bytes()) slices.push_back({Source::kZero, {at, range.end_bytes() - at}});
  return slices;
}

}  // namespace netfs
