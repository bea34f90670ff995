#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace netfs {

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "netfs: %s:%d: assertion failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace netfs
