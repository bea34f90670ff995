#pragma once
// Extents: which bytes of a file are in the journal, and where: the newest of each.
//
// Ranges do not overlap; what is in none of them comes from below.  Pure; not thread-safe.

#include <cstdint>
#include <map>
#include <vector>

#include "base/byte_range.h"
#include "journal/segment.h"

namespace netfs::journal {

struct Extent {
  ByteRange range;            // of the file
  uint64_t sequence = 0;      // of the change that brought it
  bool zero = false;          // nothing but zeroes, and nothing in the journal
  RecordPlace place;          // of the record,
  uint64_t place_offset = 0;  // and where in its data
};

class Extents {
 public:
  void add(Extent extent);
  // Nothing is left from this offset on.
  void cut(uint64_t size_bytes);
  // What came with changes up to this sequence is below now.
  void drop(uint64_t sequence);
  // What lies in the range, clipped to it, in order.
  [[nodiscard]] std::vector<Extent> in(ByteRange range) const;
  [[nodiscard]] bool empty() const { return extents_.empty(); }
  void clear() { extents_.clear(); }

 private:
  void clear(ByteRange range);

  std::map<uint64_t, Extent> extents_;  // by offset
};

}  // namespace netfs::journal
