#include "lockdep_preload/allocation.h"

#include <algorithm>
#include <array>
#include <atomic>

namespace netfs::lockdep_preload {

namespace {

constexpr unsigned kUnitShift = 4;  // blocks begin at multiples of 16
constexpr uintptr_t kUnit = uintptr_t{1} << kUnitShift;
constexpr uint64_t kLockBytesMin = 40;  // a mutex; what is smaller has an init call
constexpr size_t kSlots = 1 << 18;      // 4 MiB, of which only what is touched is memory
constexpr uintptr_t kLookBack = 64 << 10;
constexpr unsigned kGoneMax = 8;  // blocks on the way that have gone without our notice
constexpr unsigned kPlaceBits = 48;
constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;

// Two words that are not written as one: of two blocks at a time something wrong may be read.
struct Slot {
  uintptr_t begin;
  uint64_t caller_and_units;  // 48 bits, and 16 of its size in units
};
// Read and written as atomics are.  To make a table of real ones is too much for clang.
constinit std::array<Slot, kSlots> g_slots{};

// Pages (by number, modulo) in which a block ever began: without, a lock that lies in nothing of
// ours would be looked for through 64 KiB, which takes 5 us.
constexpr unsigned kPageShift = 12;
constexpr size_t kPages = 1 << 16;
constinit std::array<uint8_t, kPages> g_pages{};

uint8_t* page_of(uintptr_t begin) {
  return &g_pages[(begin >> kPageShift) % kPages];
}

template <class T>
T load(T& word) {
  return std::atomic_ref<T>(word).load(std::memory_order_relaxed);
}
template <class T>
void store(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_relaxed);
}

Slot& slot_of(uintptr_t begin) {
  return g_slots[(begin >> kUnitShift) % kSlots];
}

__thread uintptr_t t_last_begin = 0;
__thread uint64_t t_last_bytes = 0;

}  // namespace

uint64_t last_allocation_bytes(uintptr_t begin) {
  return begin == t_last_begin ? t_last_bytes : 0;
}

void note_allocation(uintptr_t begin, uint64_t bytes, uintptr_t caller) {
  t_last_begin = begin;
  t_last_bytes = bytes;
  if (bytes < kLockBytesMin) return;
  const uint64_t units = (bytes + kUnit - 1) >> kUnitShift;
  uint8_t* page = page_of(begin);
  if (load(*page) == 0) store(*page, uint8_t{1});
  Slot& slot = slot_of(begin);
  store(slot.begin, begin);
  store(slot.caller_and_units, (caller & kPlaceMask) | std::min<uint64_t>(units, 0xffff)
                                                           << kPlaceBits);
}

void forget_allocation(uintptr_t begin) {
  Slot& slot = slot_of(begin);
  if (load(slot.begin) != begin) return;
  store(slot.begin, uintptr_t{0});
}

Allocation allocation_of(uintptr_t address) {
  if (address < kLookBack) return {};
  const uintptr_t last = address & ~(kUnit - 1);
  const uintptr_t stop = last - kLookBack;
  unsigned gone = 0;
  for (uintptr_t begin = last; begin > stop && gone < kGoneMax; begin -= kUnit) {
    if (load(*page_of(begin)) == 0) {
      begin &= ~((uintptr_t{1} << kPageShift) - 1);  // on to the page before
      continue;
    }
    Slot& slot = slot_of(begin);
    if (load(slot.begin) != begin) continue;
    const uint64_t word = load(slot.caller_and_units);
    const uintptr_t offset = address - begin;
    if (offset >= (word >> kPlaceBits) << kUnitShift) {
      ++gone;  // or one that lies before the lock's block, which is not noted then
      continue;
    }
    return {.caller = static_cast<uintptr_t>(word & kPlaceMask),
            .offset_bytes = offset < kOffsetsMax ? static_cast<uint32_t>(offset) : 0};
  }
  return {};
}

}  // namespace netfs::lockdep_preload
