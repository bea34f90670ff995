#include "harness/page_cache.h"

#include <fcntl.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"

namespace netfs::bench {

Result<void> forget(Forget what) {
  ::sync();
  UniqueFd fd(::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
  if (!fd) return Error(errno, "bench.drop_caches", "dropping the page cache needs root");
  const char* digit = what == Forget::kPages ? "1" : what == Forget::kNames ? "2" : "3";
  if (::write(fd.get(), digit, 1) != 1) return Error::from_errno("bench.drop_caches");
  return {};
}

Result<void> forget_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error(errno, "bench.forget_file", "cannot open " + path);
  ::fdatasync(fd.get());
  int code = ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (code != 0) return Error(code, "bench.fadvise");
  return {};
}

Result<void> warm_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error(errno, "bench.warm_file", "cannot open " + path);
  std::vector<char> buffer(1 << 20);
  for (;;) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0) return Error(errno, "bench.warm_file", "cannot read " + path);
    if (got == 0) return {};
  }
}

}  // namespace netfs::bench
