// What would tell apart locks on the heap that no init call made: the place that first locked one,
// or the place that allocated its memory with the offset in there?  A library to preload, for
// measurements only (docs/lockdep-tool.md has what came out):
//
//   gcc -O2 -shared -fPIC -o class_sites.so tests/tools/class_sites.c
//   CLASS_SITES=out.txt LD_PRELOAD=$PWD/class_sites.so PROGRAM
//
// Adds a line at the end: how many locks were seen by how many first places (first) and by how many
// places of allocation with offset (heap); of the first places how many had locks of several
// allocations (merged), of the allocations how many had several first places (parted).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void* __libc_malloc(size_t bytes);
extern void* __libc_calloc(size_t count, size_t bytes);
extern void* __libc_realloc(void* memory, size_t bytes);
extern void __libc_free(void* memory);

enum { kBlocks = 1 << 22, kLocks = 1 << 16 };
struct Block {
  uintptr_t begin, end, caller;
};
static struct Block blocks[kBlocks];  // by the block's 16-byte units; a later one takes the place
struct Lock {
  uintptr_t address, first, heap;
};
static struct Lock locks[kLocks];
static size_t lock_count, made_count;
static int guard;

static void enter(void) {
  while (__atomic_exchange_n(&guard, 1, __ATOMIC_ACQUIRE)) __builtin_ia32_pause();
}
static void leave(void) {
  __atomic_store_n(&guard, 0, __ATOMIC_RELEASE);
}

static void* noted(void* memory, size_t bytes, void* caller) {
  const uintptr_t begin = (uintptr_t)memory;
  if (memory == NULL) return NULL;
  struct Block* block = &blocks[(begin >> 4) % kBlocks];
  block->begin = begin;
  block->end = begin + bytes;
  block->caller = (uintptr_t)caller;
  return memory;
}
#define CALLER __builtin_return_address(0)
void* malloc(size_t bytes) {
  return noted(__libc_malloc(bytes), bytes, CALLER);
}
void* calloc(size_t count, size_t bytes) {
  return noted(__libc_calloc(count, bytes), count * bytes, CALLER);
}
void* realloc(void* memory, size_t bytes) {
  return noted(__libc_realloc(memory, bytes), bytes, CALLER);
}
// operator new of the C++ library: the caller of that is the place.
void* _Znwm(size_t bytes) {
  void* memory = noted(__libc_malloc(bytes), bytes, CALLER);
  return memory != NULL ? memory : (abort(), NULL);
}
void* _Znam(size_t bytes) {
  void* memory = noted(__libc_malloc(bytes), bytes, CALLER);
  return memory != NULL ? memory : (abort(), NULL);
}
void _ZdlPv(void* memory) {
  __libc_free(memory);
}
void _ZdlPvm(void* memory, size_t bytes) {
  (void)bytes, __libc_free(memory);
}
void _ZdaPv(void* memory) {
  __libc_free(memory);
}

static struct Lock* slot(uintptr_t address) {
  size_t at = (address >> 3) * 0x9e3779b97f4a7c15 >> 48;
  for (size_t i = 0; i < kLocks; ++i, at = (at + 1) % kLocks) {
    if (locks[at].address == address || locks[at].address == 0) return &locks[at];
  }
  return NULL;
}

// The block that a lock lies in begins at most 64 KiB before it; a static or local one has none.
static uintptr_t heap_place(uintptr_t address) {
  const uintptr_t own = (address >> 4) << 4;
  for (uintptr_t at = own; at + (1 << 16) > own; at -= 16) {
    const struct Block* block = &blocks[(at >> 4) % kBlocks];
    if (block->begin == at && address < block->end) return block->caller * 4099 + (address - at);
  }
  return 0;
}

static void seen(void* lock, void* caller) {
  const uintptr_t address = (uintptr_t)lock;
  enter();
  struct Lock* found = slot(address);
  if (found != NULL && found->address == 0 && lock_count < kLocks / 2) {
    found->address = address;
    found->first = (uintptr_t)caller;
    found->heap = heap_place(address);
    ++lock_count;
  }
  leave();
}
// An init call tells classes apart by itself: such a lock is none of ours.
static void initialised(void* lock) {
  enter();
  struct Lock* found = slot((uintptr_t)lock);
  if (found != NULL) {
    if (found->address == 0) ++lock_count, ++made_count;
    found->address = (uintptr_t)lock;
    found->heap = 0;
  }
  leave();
}

#define BEFORE(name, type, note)                                      \
  int name(type* lock) {                                              \
    static int (*real)(type*);                                        \
    if (real == NULL) real = (int (*)(type*))dlsym(RTLD_NEXT, #name); \
    note;                                                             \
    return real(lock);                                                \
  }
BEFORE(pthread_mutex_lock, pthread_mutex_t, seen(lock, CALLER))
BEFORE(pthread_mutex_trylock, pthread_mutex_t, seen(lock, CALLER))
BEFORE(pthread_rwlock_rdlock, pthread_rwlock_t, seen(lock, CALLER))
BEFORE(pthread_rwlock_wrlock, pthread_rwlock_t, seen(lock, CALLER))

int pthread_mutex_init(pthread_mutex_t* lock, const pthread_mutexattr_t* how) {
  static int (*real)(pthread_mutex_t*, const pthread_mutexattr_t*);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "pthread_mutex_init");
  initialised(lock);
  return real(lock, how);
}
int pthread_rwlock_init(pthread_rwlock_t* lock, const pthread_rwlockattr_t* how) {
  static int (*real)(pthread_rwlock_t*, const pthread_rwlockattr_t*);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "pthread_rwlock_init");
  initialised(lock);
  return real(lock, how);
}

static int by_first(const void* a, const void* b) {
  const struct Lock *x = a, *y = b;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return x->heap < y->heap ? -1 : x->heap > y->heap;
}
static int by_heap(const void* a, const void* b) {
  const struct Lock *x = a, *y = b;
  if (x->heap != y->heap) return x->heap < y->heap ? -1 : 1;
  return x->first < y->first ? -1 : x->first > y->first;
}

// Of a sorted list: how many places there are, and how many of them have several of the other kind.
static void count(const struct Lock* list, size_t size, int heap, size_t* places, size_t* mixed) {
  *places = *mixed = 0;
  for (size_t i = 0; i < size;) {
    size_t end = i, kinds = 1;
#define KEY(x) (heap ? (x).heap : (x).first)
#define OTHER(x) (heap ? (x).first : (x).heap)
    while (++end < size && KEY(list[end]) == KEY(list[i]))
      kinds += OTHER(list[end]) != OTHER(list[end - 1]);
    ++*places;
    *mixed += kinds > 1;
    i = end;
  }
}

__attribute__((destructor)) static void end(void) {
  const char* path = getenv("CLASS_SITES");
  FILE* out = path == NULL ? NULL : fopen(path, "a");
  if (out == NULL) return;
  enter();
  static struct Lock heap[kLocks];
  size_t size = 0, firsts = 0, merged = 0, places = 0, parted = 0;
  for (size_t i = 0; i < kLocks; ++i)
    if (locks[i].address != 0 && locks[i].heap != 0) heap[size++] = locks[i];
  qsort(heap, size, sizeof *heap, by_first);
  count(heap, size, 0, &firsts, &merged);
  qsort(heap, size, sizeof *heap, by_heap);
  count(heap, size, 1, &places, &parted);
  fprintf(out,
          "%s: %zu locks, %zu by init call, %zu on the heap without one: first %zu (merged %zu), "
          "heap %zu (parted %zu)\n",
          program_invocation_short_name, lock_count, made_count, size, firsts, merged, places,
          parted);
  fclose(out);
  leave();
}
