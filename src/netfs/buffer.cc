#include "netfs/buffer.h"

#include <bit>
#include <cstdlib>
#include <sys/mman.h>
#include <utility>

#include "base/assert.h"
#include "netfs/lock_classes.h"

namespace netfs {

namespace {

size_t class_of(size_t bytes) {
  if (bytes <= kBufferBytesMin) return 0;
  return static_cast<size_t>(std::bit_width((bytes - 1) / kBufferBytesMin));
}

// From here on memory is mapped and unmapped by us, so that it goes back to the system at once and
// the process stays within its budget.
constexpr size_t kMappedBytesMin = 64 << 10;

std::byte* get_memory(size_t bytes) {
  void* data = nullptr;
  if (bytes < kMappedBytesMin) {
    data = std::aligned_alloc(kBufferBytesMin, bytes);
  } else {
    data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) data = nullptr;
  }
  NETFS_ASSERT(data != nullptr);
  return static_cast<std::byte*>(data);
}

void put_memory(std::byte* data, size_t bytes) {
  if (bytes < kMappedBytesMin) {
    std::free(data);
  } else {
    munmap(data, bytes);
  }
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
    const auto size_class = static_cast<size_t>(&list - idle_.data());
    for (std::byte* data : list) put_memory(data, kBufferBytesMin << size_class);
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
  if (data == nullptr) data = get_memory(capacity);
  return make_ref<Buffer>(*this, data, capacity);
}

void BufferPool::give_back(std::byte* data, size_t capacity_bytes) {
  used_bytes_.fetch_sub(capacity_bytes, std::memory_order_relaxed);
  std::vector<std::pair<std::byte*, size_t>> freed;
  {
    sync::MutexLock lock(mutex_);
    const size_t own = class_of(capacity_bytes);
    // Other sizes make room, so that the idle memory follows what is being used.
    for (size_t other = kSizeClasses; other-- > 0;) {
      std::vector<std::byte*>& list = idle_[other];
      while (other != own && !list.empty() && idle_bytes_ + capacity_bytes > idle_bytes_max_) {
        freed.emplace_back(list.back(), kBufferBytesMin << other);
        list.pop_back();
        idle_bytes_ -= kBufferBytesMin << other;
      }
    }
    if (idle_bytes_ + capacity_bytes <= idle_bytes_max_) {
      idle_[own].push_back(data);
      idle_bytes_ += capacity_bytes;
    } else {
      freed.emplace_back(data, capacity_bytes);
    }
  }
  for (const auto& [memory, bytes] : freed) put_memory(memory, bytes);
}

}  // namespace netfs
