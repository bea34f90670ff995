// Reads a list of files below a root with several threads, as fast as it can, and says how long it
// took; with --against it compares every byte with another root's files in a pass of its own.
//
//   tree_reader --list FILE --root DIR [--against DIR] [--jobs N] [--label TEXT]
//
// The list has one relative path a line.  Standard output gets one line of JSON:
//   {"files":120,"bytes":12345,"seconds":1.25,"digest":"89abcdef","failed":0}
// The digest covers names and contents, whatever the order.  Progress goes to standard error every
// two seconds.  Exit code 0: all read, and equal; 1: a difference or an error, each named.

#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include "base/crc32c.h"
#include "base/unique_fd.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace {

using netfs::MonoTime;
using netfs::UniqueFd;

constexpr size_t kReadBytes = 1 << 20;
constexpr std::chrono::seconds kProgressEvery{2};

constinit netfs::sync::LockClass kProgressLock{"tree_reader.progress"};

struct Arguments {
  std::string list;
  std::string root;
  std::string against;
  std::string label = "read";
  unsigned jobs = 4;
};

struct Progress {
  std::atomic<uint64_t> files{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> digest{0};
  std::atomic<size_t> next{0};
  netfs::sync::Mutex mutex{kProgressLock};
  netfs::sync::CondVar changed;
  bool finished GUARDED_BY(mutex) = false;
};

// Reads up to a buffer; short at the end of the file only.  Negative: errno.
ssize_t read_full(int fd, std::span<std::byte> to) {
  size_t done = 0;
  while (done < to.size()) {
    const ssize_t n = ::read(fd, to.data() + done, to.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

// Whether the file was read whole, and is equal to the other one if there is one.
bool read_file(const Arguments& arguments, const std::string& name, std::span<std::byte> buffer,
               std::span<std::byte> other_buffer, Progress& progress) {
  const std::string path = arguments.root + "/" + name;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd other;
  if (!arguments.against.empty()) {
    other.reset(::open((arguments.against + "/" + name).c_str(), O_RDONLY | O_CLOEXEC));
  }
  if (!fd || (!arguments.against.empty() && !other)) {
    std::fprintf(stderr, "%s: open: %s\n", path.c_str(), std::strerror(errno));
    return false;
  }
  uint32_t crc = netfs::crc32c(std::as_bytes(std::span(name)));
  uint64_t offset = 0;
  for (;;) {
    const ssize_t n = read_full(fd.get(), buffer);
    if (n < 0) {
      std::fprintf(stderr, "%s: read at %" PRIu64 ": %s\n", path.c_str(), offset,
                   std::strerror(static_cast<int>(-n)));
      return false;
    }
    if (other) {
      const ssize_t m = read_full(other.get(), other_buffer);
      if (m != n || std::memcmp(buffer.data(), other_buffer.data(), static_cast<size_t>(n)) != 0) {
        std::fprintf(stderr, "%s: differs from %s between %" PRIu64 " and %" PRIu64 "\n",
                     path.c_str(), arguments.against.c_str(), offset,
                     offset + static_cast<uint64_t>(n > m ? n : m));
        return false;
      }
    }
    crc = netfs::crc32c(buffer.first(static_cast<size_t>(n)), crc);
    offset += static_cast<uint64_t>(n);
    progress.bytes += static_cast<uint64_t>(n);
    if (static_cast<size_t>(n) < buffer.size()) break;
  }
  progress.digest += crc;
  return true;
}

void work(const Arguments& arguments, const std::vector<std::string>& names, Progress& progress) {
  std::vector<std::byte> buffer(kReadBytes);
  std::vector<std::byte> other(arguments.against.empty() ? 0 : kReadBytes);
  for (size_t i = progress.next++; i < names.size(); i = progress.next++) {
    if (!read_file(arguments, names[i], buffer, other, progress)) ++progress.failed;
    ++progress.files;
  }
}

void show_progress(const Arguments& arguments, size_t total, Progress& progress) {
  netfs::sync::MutexLock lock(progress.mutex);
  MonoTime next = std::chrono::steady_clock::now() + kProgressEvery;
  while (!progress.finished) {
    if (progress.changed.wait_until(progress.mutex, next)) continue;
    std::fprintf(stderr, "  %s: %" PRIu64 " of %zu files, %" PRIu64 " MiB\n",
                 arguments.label.c_str(), progress.files.load(), total,
                 progress.bytes.load() >> 20);
    next += kProgressEvery;
  }
}

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 >= argc) return false;
    if (name == "--list") {
      arguments.list = argv[i + 1];
    } else if (name == "--root") {
      arguments.root = argv[i + 1];
    } else if (name == "--against") {
      arguments.against = argv[i + 1];
    } else if (name == "--label") {
      arguments.label = argv[i + 1];
    } else if (name == "--jobs") {
      arguments.jobs = static_cast<unsigned>(std::strtoul(argv[i + 1], nullptr, 10));
    } else {
      return false;
    }
  }
  return !arguments.list.empty() && !arguments.root.empty() && arguments.jobs > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(stderr,
                 "usage: tree_reader --list FILE --root DIR [--against DIR] [--jobs N] "
                 "[--label TEXT]\n");
    return 2;
  }
  std::vector<std::string> names;
  std::ifstream list(arguments.list);
  for (std::string line; std::getline(list, line);) names.push_back(line);
  if (names.empty()) {
    std::fprintf(stderr, "tree_reader: %s lists no files\n", arguments.list.c_str());
    return 2;
  }

  Progress progress;
  const MonoTime began = std::chrono::steady_clock::now();
  {
    netfs::sync::Thread shower("progress",
                               [&] { show_progress(arguments, names.size(), progress); });
    {
      std::vector<netfs::sync::Thread> readers;
      for (unsigned i = 0; i < arguments.jobs; ++i) {
        readers.emplace_back("reader-" + std::to_string(i),
                             [&] { work(arguments, names, progress); });
      }
    }
    netfs::sync::MutexLock lock(progress.mutex);
    progress.finished = true;
    progress.changed.notify_all();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("{\"files\":%" PRIu64 ",\"bytes\":%" PRIu64
              ",\"seconds\":%.6f,\"digest\":\"%016" PRIx64 "\",\"failed\":%" PRIu64 "}\n",
              progress.files.load(), progress.bytes.load(), took.count(), progress.digest.load(),
              progress.failed.load());
  return progress.failed.load() == 0 ? 0 : 1;
}
