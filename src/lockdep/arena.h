#pragma once
// Arena: memory of the validator, mapped in chunks; nothing of it comes from the heap.
//
// Thread-safe.  Blocks are zeroed and aligned to 16 bytes.  allocate() gives null once the cap
// would be passed or the kernel has none; from then on full() is true.
//
//   auto* edge = static_cast<Edge*>(arena.allocate(sizeof(Edge)));

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lockdep/spin_lock.h"

namespace netfs::lockdep {

class Arena {
 public:
  constexpr Arena() = default;
  ~Arena() { free_all(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void limit(size_t bytes_max) { bytes_max_ = bytes_max; }
  [[nodiscard]] void* allocate(size_t bytes);
  void release(void* block, size_t bytes);
  // All blocks at once.
  void free_all();
  // Nobody allocates in between: around fork, so that the child's copy is whole.
  void before_fork() { lock_.lock(); }
  void after_fork() { lock_.unlock(); }

  [[nodiscard]] size_t mapped() const { return mapped_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool full() const { return full_.load(std::memory_order_relaxed); }

 private:
  // Heads a mapping: a chunk of small blocks, or one large block.
  struct alignas(16) Mapping {
    Mapping* next;
    Mapping* previous;
    size_t bytes;
  };
  struct Free {
    Free* next;
  };
  static constexpr size_t kSmallMax = 32 * 1024;
  static constexpr size_t kChunkFirst = 64 * 1024;
  static constexpr size_t kChunkMax = 1024 * 1024;
  static constexpr size_t kFine = 32;   // multiples of 16 bytes, to 512
  static constexpr size_t kCoarse = 6;  // then powers of two, to 32 KiB

  static size_t size_class(size_t bytes);
  static size_t class_bytes(size_t index);
  Mapping* map_locked(size_t bytes);

  SpinLock lock_;
  Mapping* mappings_ = nullptr;
  Free* free_[kFine + kCoarse] = {};
  uintptr_t chunk_at_ = 0;
  uintptr_t chunk_end_ = 0;
  size_t chunk_bytes_ = kChunkFirst;
  size_t bytes_max_ = SIZE_MAX;
  std::atomic<size_t> mapped_{0};
  std::atomic<bool> full_{false};
};

}  // namespace netfs::lockdep
