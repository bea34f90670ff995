// Faults a file in through one mapping from many threads at once and compares every page with a
// source file, and what lies beyond the end in its last page with zeroes.  A program of its own, so
// that a fault which hangs, or a SIGBUS, ends only it.
//
//   fault_reader FILE SOURCE THREADS [SEED]
//
// Each thread touches all pages in an order of its own.  Exit code 0: every byte right; 1: not, the
// first difference is named.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vector>

#include "base/unique_fd.h"
#include "sync/thread.h"

namespace {

constexpr size_t kPageBytes = 4096;

std::string read_source(const char* path, size_t size) {
  const netfs::UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd.get(), bytes.data() + done, size - done, static_cast<off_t>(done));
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

void touch_all(const char* mapping, const std::string& source, unsigned seed,
               std::atomic<bool>& wrong) {
  std::vector<size_t> pages((source.size() + kPageBytes - 1) / kPageBytes);
  for (size_t i = 0; i < pages.size(); ++i) pages[i] = i;
  std::shuffle(pages.begin(), pages.end(), std::mt19937(seed));
  for (const size_t page : pages) {
    const size_t at = page * kPageBytes;
    const size_t length = std::min(kPageBytes, source.size() - at);
    const bool zeroes = std::all_of(mapping + at + length, mapping + at + kPageBytes,
                                    [](char byte) { return byte == 0; });
    if (!zeroes || std::memcmp(mapping + at, source.data() + at, length) != 0) {
      std::fprintf(stderr, "page %zu is wrong%s\n", page, zeroes ? "" : " beyond the end");
      wrong = true;
      return;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: fault_reader FILE SOURCE THREADS [SEED]\n");
    return 2;
  }
  const unsigned threads = static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10));
  const unsigned seed = argc > 4 ? static_cast<unsigned>(std::strtoul(argv[4], nullptr, 10)) : 1;
  const netfs::UniqueFd fd(::open(argv[1], O_RDONLY | O_CLOEXEC));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0) {
    std::perror(argv[1]);
    return 1;
  }
  const size_t size = static_cast<size_t>(st.st_size);
  const std::string source = read_source(argv[2], size);
  if (source.size() != size || size == 0) {
    std::fprintf(stderr, "%s has %zu bytes, its source %zu\n", argv[1], size, source.size());
    return 1;
  }
  void* mapping = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapping == MAP_FAILED) {
    std::perror("mmap");
    return 1;
  }
  std::atomic<bool> wrong{false};
  {
    std::vector<netfs::sync::Thread> faulters;
    for (unsigned i = 0; i < threads; ++i) {
      faulters.emplace_back("fault-" + std::to_string(i), [&, i] {
        touch_all(static_cast<const char*>(mapping), source, seed + i, wrong);
      });
    }
  }
  ::munmap(mapping, size);
  return wrong ? 1 : 0;
}
