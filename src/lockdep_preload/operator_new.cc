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
#include <new>

#include "lockdep_preload/allocation.h"
#include "lockdep_preload/calls_program.h"
#include "lockdep_preload/cxx_library.h"
#include "lockdep_preload/heap.h"
#include "lockdep_preload/hook.h"

// Where this library lies; the linker gives them.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];
extern "C" __attribute__((visibility("hidden"))) const char _end[];
extern "C" __attribute__((visibility("hidden"))) const char __start_lockdep_calls_program[];
extern "C" __attribute__((visibility("hidden"))) const char __stop_lockdep_calls_program[];

namespace netfs::lockdep_preload {
namespace {

using New = void*(size_t);
using NewNoThrow = void*(size_t, const std::nothrow_t&);

bool lies_in(uintptr_t place, const char* begin, const char* end) {
  return place - reinterpret_cast<uintptr_t>(begin) < static_cast<uintptr_t>(end - begin);
}

bool is_for_program(uintptr_t caller) {
  return lies_in(caller, __start_lockdep_calls_program, __stop_lockdep_calls_program);
}
bool is_ours(uintptr_t caller) {
  return lies_in(caller, __ehdr_start, _end) && !is_for_program(caller);
}

LOCKDEP_CALLS_PROGRAM void* call_real(New* function, size_t bytes) {
  return lockdep_came_back(function(bytes));
}
LOCKDEP_CALLS_PROGRAM void* call_real(NewNoThrow* function, size_t bytes,
                                      const std::nothrow_t& tag) {
  return lockdep_came_back(function(bytes, tag));
}

// Known since our constructor; constructors of libraries may have come before.
template <class Function>
Function* real_new(std::atomic<Function*>& known, const char* name) {
  Function* function = known.load(std::memory_order_relaxed);
  if (__builtin_expect(function != nullptr, 1)) return function;
  const KeepErrno keep;
  const Inside inside;
  function = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
  known.store(function, std::memory_order_relaxed);
  return function;
}

constexpr const char* kNew = "_Znwm";
constexpr const char* kNewNoThrow = "_ZnwmRKSt9nothrow_t";
std::atomic<New*> g_new{nullptr};
std::atomic<NewNoThrow*> g_new_no_throw{nullptr};

void* noted(void* block, size_t bytes, uintptr_t caller) {
  if (block != nullptr) note_allocation(reinterpret_cast<uintptr_t>(block), bytes, caller);
  return block;
}

void* make(size_t bytes, uintptr_t caller) {
  if (is_ours(caller)) return allocate_or_die(bytes);
  New* function = real_new(g_new, kNew);
  if (function == nullptr) std::abort();  // where nobody has one, ours is hidden: nobody comes here
  return noted(call_real(function, bytes), bytes, caller);
}

void* make_no_throw(size_t bytes, const std::nothrow_t& tag, uintptr_t caller) {
  if (is_ours(caller)) return allocate(bytes);
  NewNoThrow* function = real_new(g_new_no_throw, kNewNoThrow);
  if (function == nullptr) return nullptr;
  return noted(call_real(function, bytes, tag), bytes, caller);
}

}  // namespace

bool find_operator_new() {
  (void)real_new(g_new_no_throw, kNewNoThrow);
  return real_new(g_new, kNew) != nullptr;
}

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
