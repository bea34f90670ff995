#pragma once
// Buffer and BufferPool: the memory that file data travels in, bounded by one budget.
//
// A buffer has one writer while it is filled and is immutable from then on; readers and the store
// queue share it by reference, and it goes back to its pool with the last one.  Sizes are powers of
// two from 4 KiB to kBufferBytesMax, page aligned.  The pool accounts every byte in use; when the
// budget is spent try_allocate() says no and the caller does with less (readahead shrinks, stores
// are dropped), while allocate_for_reader() always answers, so no reader ever waits for memory.
//
// Thread-safe.  A pool outlives its buffers.
//
//   Ref<Buffer> buffer = pool.try_allocate(256 << 10);
//   if (!buffer) return;  // no readahead now

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ref.h"
#include "sync/mutex.h"

namespace netfs {

inline constexpr size_t kBufferBytesMin = 4096;
inline constexpr size_t kBufferBytesMax = 4 << 20;

class BufferPool;

class Buffer : public RefCounted<Buffer> {
 public:
  Buffer(BufferPool& pool, std::byte* data, size_t capacity_bytes)
      : pool_(pool), data_(data), capacity_bytes_(capacity_bytes) {}
  ~Buffer();

  // For the one who fills it.
  [[nodiscard]] std::span<std::byte> writable() { return {data_, capacity_bytes_}; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, capacity_bytes_}; }
  [[nodiscard]] size_t capacity_bytes() const { return capacity_bytes_; }

 private:
  BufferPool& pool_;
  std::byte* const data_;
  const size_t capacity_bytes_;
};

// Part of a buffer, kept alive by it.
struct BufferSlice {
  Ref<Buffer> buffer;
  size_t offset_bytes = 0;
  size_t length_bytes = 0;

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return buffer->bytes().subspan(offset_bytes, length_bytes);
  }
};

class BufferPool {
 public:
  // `budget_bytes` bounds what try_allocate() gives out; `idle_bytes_max` what is kept unused.
  BufferPool(size_t budget_bytes, size_t idle_bytes_max);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A buffer of at least `bytes` (<= kBufferBytesMax), or null when the budget is spent.
  Ref<Buffer> try_allocate(size_t bytes);
  // The same, past the budget if need be: for a reader's own range, never for readahead.
  Ref<Buffer> allocate_for_reader(size_t bytes);

  [[nodiscard]] size_t budget_bytes() const { return budget_bytes_; }
  [[nodiscard]] size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

 private:
  friend class Buffer;
  static constexpr size_t kSizeClasses = 11;  // 4 KiB << 0 .. 4 KiB << 10

  Ref<Buffer> take(size_t size_class);
  void give_back(std::byte* data, size_t capacity_bytes);

  const size_t budget_bytes_;
  const size_t idle_bytes_max_;
  std::atomic<size_t> used_bytes_{0};
  sync::Mutex mutex_;
  std::array<std::vector<std::byte*>, kSizeClasses> idle_ GUARDED_BY(mutex_);
  size_t idle_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs
