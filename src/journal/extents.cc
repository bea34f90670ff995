#include "journal/extents.h"

#include <iterator>
#include <limits>
#include <utility>

namespace netfs::journal {

namespace {

Extent clipped(const Extent& extent, ByteRange range) {
  Extent part = extent;
  part.range = extent.range.intersect(range);
  part.place_offset += part.range.offset_bytes - extent.range.offset_bytes;
  return part;
}

constexpr ByteRange from(uint64_t offset) {
  return {offset, std::numeric_limits<uint64_t>::max() - offset};
}

}  // namespace

void Extents::add(Extent extent) {
  if (extent.range.empty()) return;
  clear(extent.range);
  extents_.emplace(extent.range.offset_bytes, std::move(extent));
}

void Extents::cut(uint64_t size_bytes) {
  clear(from(size_bytes));
}

void Extents::drop(uint64_t sequence) {
  std::erase_if(extents_, [&](const auto& one) { return one.second.sequence <= sequence; });
}

std::vector<Extent> Extents::in(ByteRange range) const {
  std::vector<Extent> found;
  auto at = extents_.upper_bound(range.offset_bytes);
  if (at != extents_.begin()) --at;
  for (; at != extents_.end() && at->first < range.end_bytes(); ++at) {
    Extent part = clipped(at->second, range);
    if (!part.range.empty()) found.push_back(std::move(part));
  }
  return found;
}

void Extents::clear(ByteRange range) {
  auto at = extents_.upper_bound(range.offset_bytes);
  if (at != extents_.begin()) --at;
  while (at != extents_.end() && at->first < range.end_bytes()) {
    const Extent old = at->second;
    if (old.range.end_bytes() <= range.offset_bytes) {
      ++at;
      continue;
    }
    at = extents_.erase(at);
    const Extent before = clipped(old, {0, range.offset_bytes});
    if (!before.range.empty()) extents_.emplace(before.range.offset_bytes, before);
    const Extent after = clipped(old, from(range.end_bytes()));
    if (!after.range.empty()) {
      extents_.emplace(after.range.offset_bytes, after);
      return;
    }
  }
}

}  // namespace netfs::journal
