#include "netfs/write_overlay.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace netfs {

void WriteOverlay::add(ByteRange range, BufferSlice bytes) {
  patches_.push_back({range, std::move(bytes)});
}

bool WriteOverlay::covers(ByteRange range) const {
  std::vector<ByteRange> parts;
  for (const Patch& patch : patches_) {
    const ByteRange part = patch.range.intersect(range);
    if (!part.empty()) parts.push_back(part);
  }
  std::sort(parts.begin(), parts.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.offset_bytes < b.offset_bytes; });
  uint64_t at = range.offset_bytes;
  for (const ByteRange& part : parts) {
    if (part.offset_bytes > at) return false;
    at = std::max(at, part.end_bytes());
  }
  return at >= range.end_bytes();
}

uint64_t WriteOverlay::apply(ByteRange range, std::span<std::byte> to,
                             uint64_t origin_bytes) const {
  const uint64_t ours = range.intersect({0, end_bytes_}).length_bytes;
  const uint64_t good = std::max(origin_bytes, ours);
  std::memset(to.data() + origin_bytes, 0, good - origin_bytes);
  for (const Patch& patch : patches_) {
    const ByteRange part = patch.range.intersect(range);
    if (part.empty()) continue;
    std::memcpy(to.data() + (part.offset_bytes - range.offset_bytes),
                patch.bytes.bytes().data() + (part.offset_bytes - patch.range.offset_bytes),
                part.length_bytes);
  }
  return good;
}

}  // namespace netfs
