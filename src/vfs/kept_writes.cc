#include "vfs/kept_writes.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "vfs/arena_kinds.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// The number of one whose own is not known: this and the index of its record.
constexpr uint64_t kUnknownNumbers = uint64_t{1} << 63;

}  // namespace

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

uint32_t KeptWrites::crc_of(const Record& record) {
  static_assert(std::has_unique_object_representations_v<Record>);
  static_assert(offsetof(Record, crc) + sizeof record.crc == sizeof(Record));
  return crc32c(std::as_bytes(std::span(&record, 1)).first(offsetof(Record, crc)));
}

uint64_t KeptWrites::put(fuse::NodeId node, ByteRange range, std::span<const std::byte> bytes) {
  NETFS_ASSERT(bytes.size() == range.length_bytes && bytes.size() <= kWriteBytesMax);
  const bool small = is_small(bytes.size());
  std::vector<uint32_t> pieces;
  std::vector<std::span<std::byte>> to;
  const uint32_t bytes_crc = crc32c(bytes);
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
  Record record{.node_id = node.value,
                .number = ++last_,
                .offset_bytes = range.offset_bytes,
                .length_bytes = static_cast<uint32_t>(range.length_bytes),
                .pieces = indices_.put({reinterpret_cast<const char*>(pieces.data()),
                                        pieces.size() * sizeof(uint32_t)}),
                .bytes_crc = bytes_crc,
                .crc = 0};
  record.crc = crc_of(record);
  record.node_id = 0;
  records_[index] = record;
  std::atomic_signal_fence(std::memory_order_release);
  records_[index].node_id = node.value;
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
  const bool has_bytes = without_bytes_.erase(number) == 0;
  const std::vector<uint32_t> pieces = has_bytes ? pieces_of(record) : std::vector<uint32_t>();
  record.node_id = 0;
  std::atomic_signal_fence(std::memory_order_release);
  for (const uint32_t one : pieces) small ? small_.free(one) : large_.free(one);
  if (has_bytes) indices_.free(record.pieces);
  records_.free(index);
}

// Whether they are those of that write, and nobody else's.
bool KeptWrites::restore_pieces(const Record& record, std::vector<bool>& small_used,
                                std::vector<bool>& large_used) {
  std::vector<bool>& used = is_small(record.length_bytes) ? small_used : large_used;
  const std::vector<uint32_t> pieces = pieces_of(record);
  const size_t bytes = piece_bytes(record.length_bytes);
  if (pieces.size() != (record.length_bytes + bytes - 1) / bytes) return false;
  for (const uint32_t piece : pieces) {
    if (piece >= used.size() || used[piece]) return false;
  }
  for (const uint32_t piece : pieces) used[piece] = true;
  return true;
}

// Also what is damaged is left, without its bytes: somebody has to be told.
void KeptWrites::restore() {
  std::vector<bool> small_used(small_.limit());
  std::vector<bool> large_used(large_.limit());
  std::vector<uint32_t> indices_used;
  for (uint32_t i = records_.limit(); i-- > 0;) {
    const Record& record = records_[i];
    if (record.node_id == 0) {
      records_.free(i);
      continue;
    }
    const bool known = record.crc == crc_of(record) && record.length_bytes <= kWriteBytesMax &&
                       !by_number_.contains(record.number);
    const uint64_t number = known ? record.number : kUnknownNumbers | i;
    const bool whole = known && restore_pieces(record, small_used, large_used);
    by_number_[number] = i;
    if (whole) indices_used.push_back(record.pieces);
    if (!whole) without_bytes_.insert(number);
    if (known) last_ = std::max(last_, number);
    left_.push_back(
        {.node = fuse::NodeId(known ? record.node_id : 0),
         .number = number,
         .range = known ? ByteRange{record.offset_bytes, record.length_bytes} : ByteRange{}});
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

bool KeptWrites::copy(const Left& left, std::span<std::byte> to) {
  sync::MutexLock lock(mutex_);
  const auto found = by_number_.find(left.number);
  NETFS_ASSERT(found != by_number_.end());
  if (without_bytes_.contains(left.number)) return false;
  const Record& record = records_[found->second];
  const std::span<const std::byte> copied = to;
  const bool small = is_small(record.length_bytes);
  for (const uint32_t one : pieces_of(record)) {
    const std::span<const std::byte> from = piece(small, one);
    const size_t length = std::min(from.size(), to.size());
    std::memcpy(to.data(), from.data(), length);
    to = to.subspan(length);
  }
  return crc32c(copied) == record.bytes_crc;
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
