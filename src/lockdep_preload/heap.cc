#include "lockdep_preload/heap.h"

#include <cstring>
#include <new>

#include "lockdep_preload/hook.h"
#include "lockdep_preload/memory.h"

namespace netfs::lockdep_preload {
namespace {

constexpr size_t kHeader = 16;

void release(void* memory) {
  if (memory == nullptr) return;
  const Inside inside;
  char* block = static_cast<char*>(memory) - kHeader;
  size_t bytes = 0;
  std::memcpy(&bytes, block, sizeof bytes);
  arena().release(block, bytes + kHeader);
}

}  // namespace

void* allocate(size_t bytes) {
  const Inside inside;
  auto* block = static_cast<char*>(arena().allocate(bytes + kHeader));
  if (block == nullptr) return nullptr;
  std::memcpy(block, &bytes, sizeof bytes);
  return block + kHeader;
}

void* allocate_or_die(size_t bytes) {
  void* memory = allocate(bytes);
  if (memory == nullptr) __builtin_trap();
  return memory;
}

}  // namespace netfs::lockdep_preload

using netfs::lockdep_preload::allocate;
using netfs::lockdep_preload::allocate_or_die;
using netfs::lockdep_preload::release;

// Hidden: the program's own are its own.  operator new: operator_new.cc.
void* operator new[](size_t bytes) {
  return allocate_or_die(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes);
}
void operator delete(void* memory) noexcept {
  release(memory);
}
void operator delete[](void* memory) noexcept {
  release(memory);
}
void operator delete(void* memory, size_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  release(memory);
}
