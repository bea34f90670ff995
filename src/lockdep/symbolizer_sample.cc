// A shared object for symbolizer tests: loaded after the symbolizer was opened, as it is and
// stripped. Line numbers of this file are part of the test.

#include <cstddef>
#include <cstdint>

extern "C" {

// Not exported, so a stripped file has no name for it.
__attribute__((noinline, visibility("hidden"))) uintptr_t sample_hidden() {
  return reinterpret_cast<uintptr_t>(__builtin_return_address(0));
}

// Returns an address within itself.
__attribute__((noinline)) uintptr_t sample_exported() {
  const uintptr_t here = sample_hidden();  // line 16
  asm volatile("" ::: "memory");
  return here;
}

__attribute__((noinline, visibility("hidden"))) uintptr_t sample_inner() {
  const uintptr_t here = sample_hidden();
  asm volatile("" ::: "memory");
  return here;
}

// Returns an address within a function that is not exported.
__attribute__((noinline)) uintptr_t sample_address_in_hidden() {
  return sample_inner();
}
}
