#include "vfs/bytes_arena.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"

namespace netfs::vfs {

namespace {

// A number is a place in one size: 3 bits and 29, and one more than that, so that it is not 0.
constexpr unsigned kPlaceBits = 29;
constexpr uint32_t kPlaceMax = (1U << kPlaceBits) - 2;

// The length of what is free, which no bytes have: whoever comes to it by a damaged number finds
// nothing there.
constexpr uint32_t kFree = UINT32_MAX;

uint32_t number_of(size_t size, uint32_t place) {
  return static_cast<uint32_t>(size << kPlaceBits) + place + 1;
}

uint32_t checksum(const void* bytes, size_t length) {
  return crc32c(std::as_bytes(std::span(static_cast<const char*>(bytes), length)));
}

}  // namespace

BytesArena::BytesArena(Ref<ArenaMemory> memory, uint8_t first_kind)
    : memory_(std::move(memory)), first_kind_(first_kind) {
  static_assert(kSizes.back() == kBytesMax + sizeof(Slot));
  for (size_t i = 0; i < sizes_.size(); ++i) {
    sizes_[i].chunks = memory_->chunks(static_cast<uint8_t>(first_kind_ + i));
    sizes_[i].count = static_cast<uint32_t>(sizes_[i].chunks.size()) * slots_of(i);
  }
}

BytesArena::Slot* BytesArena::slot(uint32_t number) const {
  if (number == 0) return nullptr;
  const size_t size = (number - 1) >> kPlaceBits;
  const uint32_t place = (number - 1) & ((1U << kPlaceBits) - 1);
  if (place >= sizes_[size].count) return nullptr;
  const uint32_t slots = slots_of(size);
  auto* chunk = static_cast<std::byte*>(sizes_[size].chunks[place / slots]);
  return reinterpret_cast<Slot*>(chunk + size_t{place % slots} * kSizes[size]);
}

uint32_t BytesArena::put(std::string_view bytes) {
  NETFS_ASSERT(bytes.size() <= kBytesMax);
  size_t size = 0;
  while (kSizes[size] < bytes.size() + sizeof(Slot)) ++size;
  Size& of = sizes_[size];
  uint32_t place = 0;
  if (!of.free.empty()) {
    place = of.free.back();
    of.free.pop_back();
  } else {
    if (of.count == of.chunks.size() * slots_of(size)) {
      of.chunks.push_back(memory_->add_chunk(static_cast<uint8_t>(first_kind_ + size)));
    }
    place = of.count++;
    NETFS_ASSERT(place <= kPlaceMax);
  }
  const uint32_t number = number_of(size, place);
  Slot* to = slot(number);
  to->length = static_cast<uint32_t>(bytes.size());
  if (!bytes.empty()) std::memcpy(to + 1, bytes.data(), bytes.size());
  to->crc = checksum(to + 1, bytes.size());
  // Before whoever stores its number.
  std::atomic_signal_fence(std::memory_order_release);
  ++in_use_;
  return number;
}

void BytesArena::free(uint32_t number) {
  NETFS_ASSERT(slot(number) != nullptr);
  // Behind whoever names it no more.
  std::atomic_signal_fence(std::memory_order_release);
  slot(number)->length = kFree;
  sizes_[(number - 1) >> kPlaceBits].free.push_back((number - 1) & ((1U << kPlaceBits) - 1));
  --in_use_;
}

std::string_view BytesArena::get(uint32_t number) const {
  const Slot* from = slot(number);
  if (from == nullptr) return {};
  const size_t size = (number - 1) >> kPlaceBits;
  if (from->length > kSizes[size] - sizeof(Slot)) return {};
  if (checksum(from + 1, from->length) != from->crc) return {};
  return {reinterpret_cast<const char*>(from + 1), from->length};
}

void BytesArena::keep_only(const std::vector<uint32_t>& used) {
  std::array<std::vector<bool>, kSizes.size()> taken;
  for (size_t i = 0; i < sizes_.size(); ++i) taken[i].resize(sizes_[i].count);
  for (const uint32_t number : used) {
    if (slot(number) == nullptr) continue;
    taken[(number - 1) >> kPlaceBits][(number - 1) & ((1U << kPlaceBits) - 1)] = true;
    ++in_use_;
  }
  for (size_t i = 0; i < sizes_.size(); ++i) {
    // The first ones are given out first.
    for (uint32_t place = sizes_[i].count; place-- > 0;) {
      if (taken[i][place]) continue;
      slot(number_of(i, place))->length = kFree;
      sizes_[i].free.push_back(place);
    }
  }
}

}  // namespace netfs::vfs
