#include "lockdep_preload/high_descriptor.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/resource.h>

namespace netfs::lockdep_preload {

int high_descriptor(int fd, int wish) {
  constexpr int kLowest = 16;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
  const int top = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 30)) - 1;
  // Each try takes the first free one from there on.
  for (int from = std::min(wish, top); from >= kLowest; --from) {
    const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, from);
    if (high >= 0 || errno != EMFILE) return high;
  }
  return -1;
}

}  // namespace netfs::lockdep_preload
