#pragma once
// WriteOverlay: what writes that were answered, and are not yet at the origin, make of a range that
// is read: later ones over earlier ones, and zeroes between the end of the origin's file and ours.
//
// A value; it keeps the buffers it shows.

#include <cstdint>
#include <span>
#include <vector>

#include "base/byte_range.h"
#include "netfs/buffer.h"

namespace netfs {

class WriteOverlay {
 public:
  WriteOverlay() = default;
  // The file ends there, if the origin's does not end later.
  explicit WriteOverlay(uint64_t end_bytes) : end_bytes_(end_bytes) {}
  // In the order in which they were written.
  void add(ByteRange range, BufferSlice bytes);

  // Whether nothing of the origin's is needed for a range that is not empty.
  [[nodiscard]] bool covers(ByteRange range) const;
  // `to` holds what the origin has of `range`, which may be less; it gets what was written.  How
  // many bytes are good then, from the front.
  [[nodiscard]] uint64_t apply(ByteRange range, std::span<std::byte> to,
                               uint64_t origin_bytes) const;

 private:
  struct Patch {
    ByteRange range;
    BufferSlice bytes;
  };
  std::vector<Patch> patches_;
  uint64_t end_bytes_ = 0;
};

}  // namespace netfs
