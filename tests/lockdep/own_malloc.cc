// A program with a malloc of its own that locks, and that locks before any library's constructor
// has run.  Two of its threads take two locks in both orders, which is a report that must come out
// though every allocation locks.

#include <cstddef>
#include <cstring>
#include <pthread.h>

namespace {

pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_a = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t lock_b = PTHREAD_MUTEX_INITIALIZER;

constexpr size_t kHeapBytes = size_t{64} << 20;
alignas(16) char heap[kHeapBytes];
size_t heap_used = 0;

void* take(size_t bytes) {
  constexpr size_t kHeader = 16;  // the block's size
  pthread_mutex_lock(&heap_lock);
  char* block = heap + heap_used;
  const size_t whole = (bytes + kHeader + 15) / 16 * 16;
  if (whole > kHeapBytes - heap_used) __builtin_trap();
  heap_used += whole;
  pthread_mutex_unlock(&heap_lock);
  std::memcpy(block, &bytes, sizeof bytes);
  return block + kHeader;
}

size_t size_of(const void* block) {
  size_t bytes = 0;
  std::memcpy(&bytes, static_cast<const char*>(block) - 16, sizeof bytes);
  return bytes;
}

void early(int, char**, char**) {
  pthread_mutex_lock(&lock_a);
  pthread_mutex_unlock(&lock_a);
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const begin)(int, char**, char**) = early;

void both(pthread_mutex_t& outer, pthread_mutex_t& inner) {
  pthread_mutex_lock(&outer);
  pthread_mutex_lock(&inner);
  pthread_mutex_unlock(&inner);
  pthread_mutex_unlock(&outer);
}

}  // namespace

// Nothing is given back: the program is short.
extern "C" void* malloc(size_t bytes) {
  return take(bytes);
}
extern "C" void* calloc(size_t count, size_t bytes) {
  return take(count * bytes);  // the memory is new, and zero
}
extern "C" void free(void* block) {
  if (block == nullptr) return;
  pthread_mutex_lock(&heap_lock);
  pthread_mutex_unlock(&heap_lock);
}
extern "C" void* realloc(void* block, size_t bytes) {
  void* larger = take(bytes);
  if (block == nullptr) return larger;
  const size_t old = size_of(block);
  return std::memcpy(larger, block, old < bytes ? old : bytes);
}
extern "C" size_t malloc_usable_size(void* block) {
  return block == nullptr ? 0 : size_of(block);
}

int main() {
  pthread_t threads[2];
  pthread_barrier_t after_first;
  pthread_barrier_init(&after_first, nullptr, 2);
  static pthread_barrier_t* const barrier = &after_first;
  pthread_create(
      &threads[0], nullptr,
      [](void*) -> void* {
        both(lock_a, lock_b);
        pthread_barrier_wait(barrier);
        return nullptr;
      },
      nullptr);
  pthread_create(
      &threads[1], nullptr,
      [](void*) -> void* {
        pthread_barrier_wait(barrier);
        both(lock_b, lock_a);
        return nullptr;
      },
      nullptr);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}
