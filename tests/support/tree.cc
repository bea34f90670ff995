#include "tests/support/tree.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "tests/support/process.h"

namespace netfs::test {
namespace {

// The finaliser of splitmix64: neighbouring inputs give unlike outputs.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

Error failed(const std::string& what, const std::string& path) {
  return {errno, "test.tree", what + " " + path + ": " + std::strerror(errno)};
}

}  // namespace

std::string pattern(uint64_t seed, uint64_t offset_bytes, uint64_t length_bytes) {
  std::string bytes(length_bytes, '\0');
  for (uint64_t i = 0; i < length_bytes; ++i) {
    const uint64_t at = offset_bytes + i;
    bytes[i] = static_cast<char>(mix(seed * 0x9e3779b97f4a7c15u + at / 8) >> (at % 8 * 8));
  }
  return bytes;
}

void write_file(const std::string& path, const std::string& bytes, std::chrono::seconds age) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  NETFS_ASSERT(fd.get() >= 0);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd.get(), bytes.data() + done, bytes.size() - done);
    NETFS_ASSERT(n > 0);
    done += static_cast<size_t>(n);
  }
  const Timestamp now = Clock::system().wall();
  const timespec old = {now.seconds - age.count(), now.nanoseconds};
  const timespec times[2] = {old, old};
  NETFS_ASSERT(::futimens(fd.get(), times) == 0);
}

Result<std::string> read_range(const std::string& path, ByteRange range) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return failed("open", path);
  std::string bytes(range.length_bytes, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pread(fd.get(), bytes.data() + done, bytes.size() - done,
                              static_cast<off_t>(range.offset_bytes + done));
    if (n < 0) return failed("read", path);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

Result<std::string> read_whole(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return failed("stat", path);
  return read_range(path, {0, static_cast<uint64_t>(st.st_size)});
}

Result<std::vector<std::string>> list_names(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), &::closedir);
  if (!dir) return failed("opendir", path);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return failed("readdir", path);
  std::sort(names.begin(), names.end());
  return names;
}

testing::AssertionResult same_bytes(const std::string& path, const std::string& source) {
  const Result<std::string> ours = read_whole(path);
  const Result<std::string> theirs = read_whole(source);
  if (!ours.ok()) return testing::AssertionFailure() << ours.error().message();
  if (!theirs.ok()) return testing::AssertionFailure() << theirs.error().message();
  const std::string& a = ours.value();
  const std::string& b = theirs.value();
  if (a == b) return testing::AssertionSuccess();
  const auto differs = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return testing::AssertionFailure()
         << path << " (" << a.size() << " bytes) differs from " << source << " (" << b.size()
         << " bytes) from byte " << differs.first - a.begin() << " on";
}

void drop_dentries() {
  run({"sh", "-c", "echo 2 >/proc/sys/vm/drop_caches"}, std::chrono::seconds(60));
}

void drop_pages(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd) ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
}

uint64_t test_seed() {
  const char* given = std::getenv("NETFS_TEST_SEED");
  const uint64_t seed = given != nullptr
                            ? std::strtoull(given, nullptr, 0)
                            : mix(static_cast<uint64_t>(Clock::system().wall().nanoseconds) +
                                  static_cast<uint64_t>(Clock::system().wall().seconds)) >>
                                  32;
  std::printf("seed: NETFS_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace netfs::test
