#include "lockdep/arena.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <sys/mman.h>

namespace netfs::lockdep {

size_t Arena::size_class(size_t bytes) {
  if (bytes == 0) bytes = 1;
  if (bytes <= kFine * 16) return (bytes + 15) / 16 - 1;
  return kFine + static_cast<size_t>(std::bit_width(bytes - 1)) - 10;  // 513..1024 is the first
}

size_t Arena::class_bytes(size_t index) {
  return index < kFine ? (index + 1) * 16 : size_t{1024} << (index - kFine);
}

Arena::Mapping* Arena::map_locked(size_t bytes) {
  bytes = (bytes + 4095) & ~size_t{4095};
  const size_t mapped = mapped_.load(std::memory_order_relaxed);
  if (bytes > bytes_max_ || mapped > bytes_max_ - bytes) {
    full_.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    full_.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  mapped_.store(mapped + bytes, std::memory_order_relaxed);
  auto* mapping = static_cast<Mapping*>(memory);
  *mapping = {.next = mappings_, .previous = nullptr, .bytes = bytes};
  if (mappings_ != nullptr) mappings_->previous = mapping;
  mappings_ = mapping;
  return mapping;
}

void* Arena::allocate(size_t bytes) {
  const SpinGuard guard(lock_);
  if (bytes > kSmallMax) {
    Mapping* mapping = map_locked(bytes + sizeof(Mapping));
    return mapping == nullptr ? nullptr : mapping + 1;
  }
  const size_t index = size_class(bytes);
  const size_t size = class_bytes(index);
  if (Free* block = free_[index]) {
    free_[index] = block->next;
    return std::memset(block, 0, size);
  }
  if (chunk_end_ - chunk_at_ < size) {
    // What is left of the old chunk is lost: less than one block.
    const size_t room = std::max(chunk_bytes_, size + sizeof(Mapping));
    Mapping* mapping = map_locked(room);
    if (mapping == nullptr) return nullptr;
    chunk_at_ = reinterpret_cast<uintptr_t>(mapping + 1);
    chunk_end_ = reinterpret_cast<uintptr_t>(mapping) + mapping->bytes;
    chunk_bytes_ = std::min(chunk_bytes_ * 2, kChunkMax);
  }
  const uintptr_t at = chunk_at_;
  chunk_at_ += size;
  return reinterpret_cast<void*>(at);
}

void Arena::release(void* block, size_t bytes) {
  if (block == nullptr) return;
  const SpinGuard guard(lock_);
  if (bytes <= kSmallMax) {
    auto* free = static_cast<Free*>(block);
    free->next = free_[size_class(bytes)];
    free_[size_class(bytes)] = free;
    return;
  }
  Mapping* mapping = static_cast<Mapping*>(block) - 1;
  (mapping->previous != nullptr ? mapping->previous->next : mappings_) = mapping->next;
  if (mapping->next != nullptr) mapping->next->previous = mapping->previous;
  mapped_.store(mapped_.load(std::memory_order_relaxed) - mapping->bytes,
                std::memory_order_relaxed);
  ::munmap(mapping, mapping->bytes);
}

void Arena::free_all() {
  const SpinGuard guard(lock_);
  while (mappings_ != nullptr) {
    Mapping* next = mappings_->next;
    ::munmap(mappings_, mappings_->bytes);
    mappings_ = next;
  }
  std::fill(std::begin(free_), std::end(free_), nullptr);
  chunk_at_ = 0;
  chunk_end_ = 0;
  chunk_bytes_ = kChunkFirst;
  mapped_.store(0, std::memory_order_relaxed);
  full_.store(false, std::memory_order_relaxed);
}

}  // namespace netfs::lockdep
