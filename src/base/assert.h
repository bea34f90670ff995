#pragma once
// NETFS_ASSERT: a programmer's error stops the process near its cause, in release builds too.
//
// One condition an assert.  Never for input from kernel, disk or network: those are Errors.

namespace netfs {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

}  // namespace netfs

#define NETFS_ASSERT(condition)                                  \
  do {                                                           \
    if (__builtin_expect(!(condition), 0))                       \
      ::netfs::assertion_failed(#condition, __FILE__, __LINE__); \
  } while (false)
