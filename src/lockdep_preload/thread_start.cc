#include "lockdep_preload/thread_start.h"

#include <cstring>
#include <unwind.h>

#include "lockdep/module_of.h"
#include "lockdep_preload/allocation.h"

namespace netfs::lockdep_preload {
namespace {

constexpr size_t kRun = 2;  // in its table, after two destructors

bool is_libstdcxx(uintptr_t function) {
  lockdep::Module module;
  return lockdep::module_of(function, module) &&
         std::strstr(module.path, "/libstdc++.so") != nullptr;
}

// By the unwind tables, which know of code only.
bool is_function(uintptr_t address) {
  return address != 0 && reinterpret_cast<uintptr_t>(_Unwind_FindEnclosingFunction(
                             reinterpret_cast<void*>(address + 1))) == address;
}

}  // namespace

uintptr_t thread_start(uintptr_t function, const void* argument) {
  if (argument == nullptr || !is_libstdcxx(function)) return function;
  const auto* words = static_cast<const uintptr_t*>(argument);
  lockdep::Module module;
  if (!lockdep::module_of(words[0], module)) return function;  // no table of functions
  // It was made for this very call.  A pointer to a member function is two words, the second 0.
  const uint64_t count =
      last_allocation_bytes(reinterpret_cast<uintptr_t>(argument)) / sizeof *words;
  if (count > 1 && is_function(words[count - 1])) return words[count - 1];
  if (count > 2 && words[count - 1] == 0 && is_function(words[count - 2])) return words[count - 2];
  const uintptr_t run = reinterpret_cast<const uintptr_t*>(words[0])[kRun];
  return is_function(run) ? run : function;
}

}  // namespace netfs::lockdep_preload
