#include "vfs/kept_writes.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "vfs/arena_kinds.h"
#include "vfs/limits.h"

namespace netfs::vfs {

KeptWrites::KeptWrites(Ref<ArenaMemory> memory)
    : records_(memory, arena_kind::kWrites),
      small_(memory, arena_kind::kSmallPieces),
      large_(memory, arena_kind::kLargePieces),
      indices_(memory, arena_kind::kPieceIndices) {
  static_assert(kWriteBytesMax / kLargeBytes * sizeof(uint32_t) <= BytesArena::kBytesMax);
  sync::MutexLock lock(mutex_);
  restore();
}

std::span<std::byte> KeptWrites::piece(bool small, uint32_t index) {
  return small ? std::span<std::byte>(small_[index].bytes) : std::span(large_[index].bytes);
}

std::vector<uint32_t> KeptWrites::pieces_of(const Record& record) {
  const std::string_view bytes = indices_.get(record.pieces);
  std::vector<uint32_t> pieces(bytes.size() / sizeof(uint32_t));
  if (!pieces.empty()) {
    std::memcpy(pieces.data(), bytes.data(), pieces.size() * sizeof(uint32_t));
  }
  return pieces;
}

uint64_t KeptWrites::put(fuse::NodeId node, ByteRange range, std::span<const std::byte> bytes) {
  NETFS_ASSERT(bytes.size() == range.length_bytes && bytes.size() <= kWriteBytesMax);
  const bool small = is_small(bytes.size());
  std::vector<uint32_t> pieces;
  std::vector<std::span<std::byte>> to;
  {
    sync::MutexLock lock(mutex_);
    if (again_ != 0) return std::exchange(again_, 0);
    for (size_t at = 0; at < bytes.size(); at += piece_bytes(bytes.size())) {
      pieces.push_back(small ? small_.allocate() : large_.allocate());
      to.push_back(piece(small, pieces.back()));
    }
  }
  for (const std::span<std::byte> part : to) {
    const size_t length = std::min(part.size(), bytes.size());
    std::memcpy(part.data(), bytes.data(), length);
    bytes = bytes.subspan(length);
  }
  sync::MutexLock lock(mutex_);
  const uint32_t index = records_.allocate();
  Record& record = records_[index];
  record.number = ++last_;
  record.offset_bytes = range.offset_bytes;
  record.length_bytes = static_cast<uint32_t>(range.length_bytes);
  record.pieces = indices_.put(
      {reinterpret_cast<const char*>(pieces.data()), pieces.size() * sizeof(uint32_t)});
  std::atomic_signal_fence(std::memory_order_release);
  record.node_id = node.value;
  by_number_[record.number] = index;
  return record.number;
}

void KeptWrites::remove(uint64_t number) {
  sync::MutexLock lock(mutex_);
  const auto found = by_number_.find(number);
  if (found == by_number_.end()) return;
  const uint32_t index = found->second;
  by_number_.erase(found);
  Record& record = records_[index];
  const bool small = is_small(record.length_bytes);
  const std::vector<uint32_t> pieces = pieces_of(record);
  record.node_id = 0;
  std::atomic_signal_fence(std::memory_order_release);
  for (const uint32_t one : pieces) small ? small_.free(one) : large_.free(one);
  indices_.free(record.pieces);
  records_.free(index);
}

// What is damaged is left out; the rest is whole.
void KeptWrites::restore() {
  std::vector<bool> small_used(small_.limit());
  std::vector<bool> large_used(large_.limit());
  std::vector<uint32_t> indices_used;
  for (uint32_t i = records_.limit(); i-- > 0;) {
    Record& record = records_[i];
    bool whole = record.node_id != 0 && record.length_bytes <= kWriteBytesMax;
    const std::vector<uint32_t> pieces = whole ? pieces_of(record) : std::vector<uint32_t>();
    const bool small = is_small(record.length_bytes);
    std::vector<bool>& used = small ? small_used : large_used;
    const size_t bytes = piece_bytes(record.length_bytes);
    whole = whole && pieces.size() == (record.length_bytes + bytes - 1) / bytes;
    for (const uint32_t piece : pieces) whole = whole && piece < used.size() && !used[piece];
    whole = whole && !by_number_.contains(record.number);
    if (!whole) {
      record.node_id = 0;
      records_.free(i);
      continue;
    }
    for (const uint32_t piece : pieces) used[piece] = true;
    indices_used.push_back(record.pieces);
    by_number_[record.number] = i;
    last_ = std::max(last_, record.number);
    left_.push_back({.node = fuse::NodeId(record.node_id),
                     .number = record.number,
                     .range = {record.offset_bytes, record.length_bytes}});
  }
  for (uint32_t i = small_.limit(); i-- > 0;) {
    if (!small_used[i]) small_.free(i);
  }
  for (uint32_t i = large_.limit(); i-- > 0;) {
    if (!large_used[i]) large_.free(i);
  }
  indices_.keep_only(indices_used);
  std::sort(left_.begin(), left_.end(),
            [](const Left& a, const Left& b) { return a.number < b.number; });
}

std::vector<KeptWrites::Left> KeptWrites::left() {
  sync::MutexLock lock(mutex_);
  return std::exchange(left_, {});
}

void KeptWrites::copy(const Left& left, std::span<std::byte> to) {
  sync::MutexLock lock(mutex_);
  const auto found = by_number_.find(left.number);
  NETFS_ASSERT(found != by_number_.end());
  const Record& record = records_[found->second];
  const bool small = is_small(record.length_bytes);
  for (const uint32_t one : pieces_of(record)) {
    const std::span<const std::byte> from = piece(small, one);
    const size_t length = std::min(from.size(), to.size());
    std::memcpy(to.data(), from.data(), length);
    to = to.subspan(length);
  }
}

void KeptWrites::begin_again(const Left& left) {
  sync::MutexLock lock(mutex_);
  again_ = left.number;
}

bool KeptWrites::end_again() {
  sync::MutexLock lock(mutex_);
  return std::exchange(again_, 0) == 0;
}

size_t KeptWrites::count() const {
  sync::MutexLock lock(mutex_);
  return by_number_.size();
}

}  // namespace netfs::vfs
