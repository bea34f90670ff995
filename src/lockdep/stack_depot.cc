#include "lockdep/stack_depot.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

#include "base/assert.h"

namespace netfs::lockdep {
namespace {

// Zeroed pages that cost nothing until they are touched; null where the system has none.
void* map_pages(size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

// Frames differ in few bits, mostly low ones: each is multiplied by an odd constant (2^64 / golden
// ratio) and folded, so that all bits of all frames reach the low ones that choose a bucket.
uint64_t hash_of(std::span<const uintptr_t> frames) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15U;
  uint64_t hash = frames.size();
  for (const uintptr_t frame : frames) {
    hash = (hash ^ frame) * kMultiplier;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

StackDepot::StackDepot() {
  constexpr size_t kChunkTable = kChunks * sizeof(std::atomic<uint64_t*>);
  constexpr size_t kHeadTable = kBuckets * sizeof(std::atomic<StackId>);
  auto* tables = static_cast<std::byte*>(map_pages(kChunkTable + kHeadTable));
  NETFS_ASSERT(tables != nullptr);
  // Zeroed memory is what these atomics are with their first value.
  chunks_ = reinterpret_cast<std::atomic<uint64_t*>*>(tables);
  heads_ = reinterpret_cast<std::atomic<StackId>*>(tables + kChunkTable);
}

StackDepot::~StackDepot() {
  for (size_t i = 0; i < kChunks; ++i) {
    uint64_t* words = chunks_[i].load(std::memory_order_relaxed);
    if (words == nullptr) break;  // they are filled in order
    munmap(words, kChunkWords * sizeof(uint64_t));
  }
  munmap(chunks_,
         kChunks * sizeof(std::atomic<uint64_t*>) + kBuckets * sizeof(std::atomic<StackId>));
}

const StackDepot::Record* StackDepot::record(StackId id) const noexcept {
  // The id came with an acquire of the head it was published at, or from who got it so.
  const uint64_t* words = chunks_[id / kChunkWords].load(std::memory_order_acquire);
  return reinterpret_cast<const Record*>(words + id % kChunkWords);
}

std::span<const uintptr_t> StackDepot::get(StackId id) const noexcept {
  if (id == kNoStack) return {};
  const Record* found = record(id);
  return {found->frames(), found->count};
}

StackId StackDepot::find(StackId from, StackId end, uint64_t hash,
                         std::span<const uintptr_t> frames) const noexcept {
  while (from != end) {
    const Record* candidate = record(from);
    if (candidate->hash == hash && candidate->count == frames.size() &&
        std::equal(frames.begin(), frames.end(), candidate->frames())) {
      return from;
    }
    from = candidate->next;
  }
  return kNoStack;
}

uint64_t* StackDepot::chunk(size_t index) noexcept {
  uint64_t* words = chunks_[index].load(std::memory_order_acquire);
  if (words != nullptr) return words;
  auto* fresh = static_cast<uint64_t*>(map_pages(kChunkWords * sizeof(uint64_t)));
  if (fresh == nullptr) return nullptr;
  if (chunks_[index].compare_exchange_strong(words, fresh, std::memory_order_acq_rel)) return fresh;
  munmap(fresh, kChunkWords * sizeof(uint64_t));  // another thread was faster
  return words;
}

StackDepot::Record* StackDepot::allocate(size_t words, StackId& id) noexcept {
  uint64_t at = next_word_.load(std::memory_order_relaxed);
  uint64_t start = 0;
  do {
    start = at;
    const uint64_t left = kChunkWords - start % kChunkWords;
    if (left < words) start += left;  // the rest of that chunk stays empty
    if (start + words > uint64_t{kChunks} * kChunkWords) return nullptr;
    // The chunk is mapped before its words are given out, so that no chunk is ever left out.
    if (chunk(start / kChunkWords) == nullptr) return nullptr;
  } while (!next_word_.compare_exchange_weak(at, start + words, std::memory_order_relaxed));
  id = static_cast<StackId>(start);
  return reinterpret_cast<Record*>(chunk(start / kChunkWords) + start % kChunkWords);
}

StackId StackDepot::intern(std::span<const uintptr_t> frames) noexcept {
  if (frames.empty()) return kNoStack;
  frames = frames.first(std::min(frames.size(), kStackFramesMax));
  const uint64_t hash = hash_of(frames);
  std::atomic<StackId>& head = heads_[hash % kBuckets];

  StackId first = head.load(std::memory_order_acquire);
  if (const StackId known = find(first, kNoStack, hash, frames); known != kNoStack) return known;

  StackId id = kNoStack;
  Record* fresh = allocate(kRecordWords + frames.size(), id);
  if (fresh == nullptr) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return kNoStack;
  }
  fresh->count = static_cast<uint32_t>(frames.size());
  fresh->hash = hash;
  std::memcpy(fresh + 1, frames.data(), frames.size_bytes());
  while (true) {
    fresh->next = first;
    const StackId looked_at = first;
    if (head.compare_exchange_strong(first, id, std::memory_order_acq_rel)) break;
    // Others came first: one of them may have brought this very stack.  Then our words are lost,
    // which is rarer than a lock would be dear.
    if (const StackId known = find(first, looked_at, hash, frames); known != kNoStack) return known;
  }
  count_.fetch_add(1, std::memory_order_relaxed);
  return id;
}

}  // namespace netfs::lockdep
