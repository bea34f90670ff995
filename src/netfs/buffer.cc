#include "netfs/buffer.h"

#include <bit>
#include <cstdlib>

#include "base/assert.h"
#include "netfs/lock_classes.h"

namespace netfs {

namespace {

size_t class_of(size_t bytes) {
  if (bytes <= kBufferBytesMin) return 0;
  return static_cast<size_t>(std::bit_width((bytes - 1) / kBufferBytesMin));
}

}  // namespace

static_assert(kBufferBytesMin << 10 == kBufferBytesMax, "eleven size classes, each a doubling");

Buffer::~Buffer() {
  pool_.give_back(data_, capacity_bytes_);
}

BufferPool::BufferPool(size_t budget_bytes, size_t idle_bytes_max)
    : budget_bytes_(budget_bytes), idle_bytes_max_(idle_bytes_max), mutex_(kBufferPoolLock) {}

BufferPool::~BufferPool() {
  NETFS_ASSERT(used_bytes() == 0);
  for (std::vector<std::byte*>& list : idle_) {
    for (std::byte* data : list) std::free(data);
  }
}

Ref<Buffer> BufferPool::try_allocate(size_t bytes) {
  const size_t size_class = class_of(bytes);
  const size_t capacity = kBufferBytesMin << size_class;
  if (used_bytes_.fetch_add(capacity, std::memory_order_relaxed) + capacity > budget_bytes_) {
    used_bytes_.fetch_sub(capacity, std::memory_order_relaxed);
    return nullptr;
  }
  return take(size_class);
}

Ref<Buffer> BufferPool::allocate_for_reader(size_t bytes) {
  const size_t size_class = class_of(bytes);
  used_bytes_.fetch_add(kBufferBytesMin << size_class, std::memory_order_relaxed);
  return take(size_class);
}

Ref<Buffer> BufferPool::take(size_t size_class) {
  NETFS_ASSERT(size_class < kSizeClasses);
  const size_t capacity = kBufferBytesMin << size_class;
  std::byte* data = nullptr;
  {
    sync::MutexLock lock(mutex_);
    std::vector<std::byte*>& list = idle_[size_class];
    if (!list.empty()) {
      data = list.back();
      list.pop_back();
      idle_bytes_ -= capacity;
    }
  }
  if (data == nullptr) {
    data = static_cast<std::byte*>(std::aligned_alloc(kBufferBytesMin, capacity));
  }
  NETFS_ASSERT(data != nullptr);
  return make_ref<Buffer>(*this, data, capacity);
}

void BufferPool::give_back(std::byte* data, size_t capacity_bytes) {
  used_bytes_.fetch_sub(capacity_bytes, std::memory_order_relaxed);
  {
    sync::MutexLock lock(mutex_);
    if (idle_bytes_ + capacity_bytes <= idle_bytes_max_) {
      idle_[class_of(capacity_bytes)].push_back(data);
      idle_bytes_ += capacity_bytes;
      return;
    }
  }
  std::free(data);
}

}  // namespace netfs
