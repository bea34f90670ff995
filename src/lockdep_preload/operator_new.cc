// operator new of the program (its operator new[] jumps to that), whose blocks are noted, and of
// our own C++ library, whose blocks come from our arena (heap.cc).  The program's are made by what
// would have been called without us.
//
// Of one name there can be one function: it tells the two by who calls.  `protected`: seen by the
// program, and our own calls come here in any case.  operator delete needs no such thing: ours is
// hidden, and the program's own is its own.

#include <atomic>
#include <cstdlib>
#include <dlfcn.h>
#include <link.h>
#include <new>

#include "lockdep_preload/allocation.h"
#include "lockdep_preload/heap.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/real.h"

// Where this library lies; the linker gives them.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];
extern "C" __attribute__((visibility("hidden"))) const char _end[];
extern "C" __attribute__((visibility("hidden"))) const char __start_lockdep_real_new[];
extern "C" __attribute__((visibility("hidden"))) const char __stop_lockdep_real_new[];

namespace netfs::lockdep_preload {
namespace {

using New = void*(size_t);
using NewNoThrow = void*(size_t, const std::nothrow_t&);

bool lies_in(uintptr_t place, const char* begin, const char* end) {
  return place - reinterpret_cast<uintptr_t>(begin) < static_cast<uintptr_t>(end - begin);
}

// From here the real ones are called, and from nowhere else: one that jumps to another operator new
// has that called from here, by its looks, for the program.
#define LOCKDEP_CALLS_REAL __attribute__((section("lockdep_real_new"), noinline))
bool is_for_program(uintptr_t caller) {
  return lies_in(caller, __start_lockdep_real_new, __stop_lockdep_real_new);
}
bool is_ours(uintptr_t caller) {
  return lies_in(caller, __ehdr_start, _end) && !is_for_program(caller);
}

LOCKDEP_CALLS_REAL void* call_real(New* function, size_t bytes) {
  void* block = function(bytes);
  __asm__ volatile("" ::"r"(block));  // no jump: it is to come back here
  return block;
}
LOCKDEP_CALLS_REAL void* call_real(NewNoThrow* function, size_t bytes, const std::nothrow_t& tag) {
  void* block = function(bytes, tag);
  __asm__ volatile("" ::"r"(block));
  return block;
}

// What a module sees under a name, where no C++ library is everybody's: a plugin has brought one.
// Remembered for the module that asked last, until a library is unloaded.
struct Seen {
  const link_map* module = nullptr;
  const char* name = nullptr;
  uint32_t unloads = 0;
  void* function = nullptr;
};
__thread Seen t_seen;
__thread link_map* t_module = nullptr;  // whose call is being passed on

bool remembered(const char* name, uint32_t unloads) {
  return t_seen.module == t_module && t_seen.name == name && t_seen.unloads == unloads;
}

void* seen_by_module(const char* name, uint32_t unloads) {
  // Only what was opened has a list to search; it is there already, and goes on being there.
  void* handle = real().dlopen(t_module->l_name, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return nullptr;
  void* function = ::dlsym(handle, name);
  real().dlclose(handle);
  t_seen = {.module = t_module, .name = name, .unloads = unloads, .function = function};
  return function;
}

// The next after us, else what the calling module sees.
void* find_new(const char* name, uintptr_t caller, bool& is_everybodys) {
  const KeepErrno keep;
  const Inside inside;
  const uint32_t unloads = g_unloads.load(std::memory_order_acquire);
  if (!is_for_program(caller)) {
    dl_find_object found;
    const bool known = ::_dl_find_object(reinterpret_cast<void*>(caller), &found) == 0;
    t_module = known ? found.dlfo_link_map : nullptr;
  }
  if (t_module != nullptr && remembered(name, unloads)) return t_seen.function;
  void* function = ::dlsym(RTLD_NEXT, name);
  is_everybodys = function != nullptr;
  if (is_everybodys || t_module == nullptr) return function;
  return seen_by_module(name, unloads);
}

template <class Function>
Function* real_new(std::atomic<Function*>& known, const char* name, uintptr_t caller) {
  Function* function = known.load(std::memory_order_relaxed);
  if (__builtin_expect(function != nullptr, 1)) return function;
  bool is_everybodys = false;
  function = reinterpret_cast<Function*>(find_new(name, caller, is_everybodys));
  if (is_everybodys) known.store(function, std::memory_order_relaxed);
  return function;
}

std::atomic<New*> g_new{nullptr};
std::atomic<NewNoThrow*> g_new_no_throw{nullptr};

void* noted(void* block, size_t bytes, uintptr_t caller) {
  if (block != nullptr) note_allocation(reinterpret_cast<uintptr_t>(block), bytes, caller);
  return block;
}

void* make(size_t bytes, uintptr_t caller) {
  if (is_ours(caller)) return allocate_or_die(bytes);
  New* function = real_new(g_new, "_Znwm", caller);
  // Nobody has one that could be found: what the C++ library's does.
  void* block = function != nullptr ? call_real(function, bytes) : std::malloc(bytes);
  if (block == nullptr) std::abort();
  return noted(block, bytes, caller);
}

void* make_no_throw(size_t bytes, const std::nothrow_t& tag, uintptr_t caller) {
  if (is_ours(caller)) return allocate(bytes);
  NewNoThrow* function = real_new(g_new_no_throw, "_ZnwmRKSt9nothrow_t", caller);
  void* block = function != nullptr ? call_real(function, bytes, tag) : std::malloc(bytes);
  return noted(block, bytes, caller);
}

}  // namespace
}  // namespace netfs::lockdep_preload

// By their names in the object: the language would have them throw, and the real ones do, through
// here.
#define LOCKDEP_NEW extern "C" __attribute__((visibility("protected"))) void*

LOCKDEP_NEW _Znwm(size_t bytes) {
  using namespace netfs::lockdep_preload;
  return make(bytes, LOCKDEP_CALLER_IP);
}
LOCKDEP_NEW _ZnwmRKSt9nothrow_t(size_t bytes, const std::nothrow_t& tag) {
  using namespace netfs::lockdep_preload;
  return make_no_throw(bytes, tag, LOCKDEP_CALLER_IP);
}
