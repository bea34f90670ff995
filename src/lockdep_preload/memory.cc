// free, realloc, munmap: a lock in memory that goes is no more, and must not be held.

#include "lockdep_preload/memory.h"

#include "lockdep_preload/allocation.h"
#include "lockdep_preload/real.h"
#include "lockdep_preload/thread.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {

namespace {

constexpr size_t kHeldMax = 64;

// Blocks of this size and less cannot hold a lock of a size we know.
constexpr size_t kBlockMin = 4;

void report_held(Context& context, uintptr_t from, uintptr_t to, uintptr_t ip) {
  const lockdep::Instance* held[kHeldMax];
  const size_t count = lockdep::Validator::held(context, held, kHeldMax);
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t address = record_of(held[i])->address.load(std::memory_order_relaxed);
    if (address < from || address >= to) continue;
    validator().lock_freed(context, *held[i], reinterpret_cast<void*>(from),
                           reinterpret_cast<void*>(to), ip);
  }
}

void block_goes(void* block, uintptr_t ip) {
  if (block == nullptr || lockdep::t_inside != 0 || real().malloc_usable_size == nullptr) return;
  const size_t size = real().malloc_usable_size(block);
  if (size <= kBlockMin) return;
  const auto from = reinterpret_cast<uintptr_t>(block);
  forget_allocation(from);
  memory_goes(from, from + size, ip);
}

}  // namespace

void memory_goes(uintptr_t from, uintptr_t to, uintptr_t ip) {
  Context* context = own_context();
  if (context != nullptr && context->depth() != 0) report_held(*context, from, to, ip);
  for_each_record(
      from, to, [](void*, Record&) { return true; }, nullptr);
}

LOCKDEP_HOOK void free(void* block) {
  const auto function = __atomic_load_n(&g_real.free, __ATOMIC_RELAXED);
  if (function == nullptr) {
    if (lockdep::t_inside != 0) return;  // dlsym's own, while we look for the real one
    real().free(block);
    return;
  }
  if (g_stage.load(std::memory_order_relaxed) == Stage::kWatching) {
    block_goes(block, LOCKDEP_CALLER_IP);
  }
  function(block);
}

// The old block may go; where it does not, its locks are told anew.
LOCKDEP_HOOK void* realloc(void* block, size_t size) {
  if (g_stage.load(std::memory_order_relaxed) == Stage::kWatching && lockdep::t_inside == 0 &&
      block != nullptr) {
    const size_t before = real().malloc_usable_size(block);
    const auto from = reinterpret_cast<uintptr_t>(block);
    if (size > before || size == 0) memory_goes(from, from + before, LOCKDEP_CALLER_IP);
  }
  return real().realloc(block, size);
}

LOCKDEP_HOOK int munmap(void* memory, size_t bytes) {
  if (g_stage.load(std::memory_order_relaxed) == Stage::kWatching && lockdep::t_inside == 0) {
    const auto from = reinterpret_cast<uintptr_t>(memory);
    memory_goes(from, from + bytes, LOCKDEP_CALLER_IP);
  }
  return real().munmap(memory, bytes);
}

}  // namespace netfs::lockdep_preload
