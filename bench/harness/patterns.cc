#include "harness/patterns.h"

#include <algorithm>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <memory>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace netfs::bench {

namespace {

constexpr size_t kPageBytes = 4096;

struct FreeDeleter {
  void operator()(void* memory) const { ::free(memory); }
};
using AlignedBuffer = std::unique_ptr<std::byte, FreeDeleter>;

// Aligned for O_DIRECT, and touched, so that no fault of ours is timed.
AlignedBuffer aligned_buffer(size_t length) {
  size_t whole = (length + kPageBytes - 1) / kPageBytes * kPageBytes;
  auto* memory = static_cast<std::byte*>(::aligned_alloc(kPageBytes, whole));
  std::fill(memory, memory + whole, std::byte{0});
  return AlignedBuffer(memory);
}

Result<UniqueFd> open_to_read(const std::string& path, int flags = 0) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  if (!fd) return Error(errno, "bench.open", "cannot open " + path);
  return fd;
}

Error wrong_bytes(const std::string& path, uint64_t offset_bytes) {
  return Error(EBADMSG, "bench.read",
               path + ": wrong bytes at offset " + std::to_string(offset_bytes));
}

Error short_read(const std::string& path, uint64_t offset_bytes, ssize_t got) {
  if (got < 0) return Error(errno, "bench.read", "cannot read " + path);
  return Error(EIO, "bench.read", path + ": short read at offset " + std::to_string(offset_bytes));
}

uint64_t random_offset(const FileSpec& file, const RandomReads& how, uint64_t sequence) {
  uint64_t limit = how.limit_bytes == 0 ? file.size_bytes : how.limit_bytes;
  return mix(mix(how.salt + 1) ^ sequence) % (limit / how.block_bytes) * how.block_bytes;
}

Result<uint64_t> random_job(const FileSpec& file, const RandomReads& how, unsigned job,
                            Gate& gate) {
  UniqueFd fd = TRY(open_to_read(file.path, how.direct ? O_DIRECT : 0));
  if (!how.direct) ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
  AlignedBuffer buffer = aligned_buffer(how.block_bytes);
  gate.wait();
  for (uint64_t i = 0; i < how.count; ++i) {
    uint64_t at = random_offset(file, how, job * how.count + i);
    ssize_t got = ::pread(fd.get(), buffer.get(), how.block_bytes, static_cast<off_t>(at));
    if (got != static_cast<ssize_t>(how.block_bytes)) return short_read(file.path, at, got);
    if (how.check && !first_word_is_right(buffer.get(), file.seed, at)) {
      return wrong_bytes(file.path, at);
    }
  }
  return how.count;
}

// Which of `files` a job takes: every jobs-th directory would favour readdir, so single files.
Result<uint64_t> file_job(int root, const std::vector<FileSpec>& files, unsigned job, unsigned jobs,
                          std::byte* buffer, size_t capacity) {
  uint64_t done = 0;
  for (size_t i = job; i < files.size(); i += jobs) {
    const FileSpec& file = files[i];
    UniqueFd fd(::openat(root, file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error(errno, "bench.open", "cannot open " + file.path);
    ssize_t got = ::read(fd.get(), buffer, capacity);
    if (got != static_cast<ssize_t>(file.size_bytes)) return short_read(file.path, 0, got);
    if (got > 0 && !first_word_is_right(buffer, file.seed, 0)) return wrong_bytes(file.path, 0);
    ++done;
  }
  return done;
}

// In the order of the listing.
Result<std::vector<std::string>> names_in(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return Error(errno, "bench.list", "cannot list " + path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

}  // namespace

Result<Work> read_sequential(const FileSpec& file, uint32_t block_bytes) {
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    AlignedBuffer buffer = aligned_buffer(block_bytes);
    gate.wait();
    UniqueFd fd = TRY(open_to_read(file.path));
    for (uint64_t at = 0; at < file.size_bytes;) {
      ssize_t got = ::read(fd.get(), buffer.get(), block_bytes);
      if (got <= 0) return short_read(file.path, at, got);
      if (at % 8 == 0 && !first_word_is_right(buffer.get(), file.seed, at)) {
        return wrong_bytes(file.path, at);
      }
      at += static_cast<uint64_t>(got);
    }
    return file.size_bytes;
  });
}

Result<Work> read_random(const FileSpec& file, const RandomReads& how) {
  return run_jobs(how.jobs, [&](unsigned job, Gate& gate) -> Result<uint64_t> {
    return random_job(file, how, job, gate);
  });
}

Result<Work> touch_mapping(const FileSpec& file, uint64_t count) {
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    UniqueFd fd = TRY(open_to_read(file.path));
    gate.wait();
    void* memory = ::mmap(nullptr, file.size_bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) return Error::from_errno("bench.mmap");
    ::madvise(memory, file.size_bytes, MADV_RANDOM);
    RandomReads how{.block_bytes = kPageBytes, .salt = 7};
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t at = random_offset(file, how, i);
      const auto* page = static_cast<const std::byte*>(memory) + at;
      if (!first_word_is_right(page, file.seed, at)) return wrong_bytes(file.path, at);
    }
    ::munmap(memory, file.size_bytes);
    return count;
  });
}

Result<std::vector<double>> random_latencies(const FileSpec& file, const RandomReads& how) {
  UniqueFd fd = TRY(open_to_read(file.path));
  AlignedBuffer buffer = aligned_buffer(how.block_bytes);
  uint64_t blocks = file.size_bytes / how.block_bytes;
  std::vector<uint64_t> order(blocks);
  for (uint64_t i = 0; i < blocks; ++i) order[i] = i;
  for (uint64_t i = blocks - 1; i > 0; --i) {
    std::swap(order[i], order[mix(how.salt ^ mix(i)) % (i + 1)]);
  }
  std::vector<double> latencies;
  for (uint64_t i = 0; i < std::min(how.count, blocks); ++i) {
    uint64_t at = order[i] * how.block_bytes;
    double before = monotonic_seconds();
    ssize_t got = ::pread(fd.get(), buffer.get(), how.block_bytes, static_cast<off_t>(at));
    latencies.push_back(monotonic_seconds() - before);
    if (got != static_cast<ssize_t>(how.block_bytes)) return short_read(file.path, at, got);
    if (!first_word_is_right(buffer.get(), file.seed, at)) return wrong_bytes(file.path, at);
  }
  return latencies;
}

Result<Work> read_files(const std::string& root, const std::vector<FileSpec>& files,
                        unsigned jobs) {
  uint64_t longest = 0;
  for (const FileSpec& file : files) longest = std::max(longest, file.size_bytes);
  return run_jobs(jobs, [&](unsigned job, Gate& gate) -> Result<uint64_t> {
    UniqueFd directory = TRY(open_to_read(root, O_DIRECTORY));
    AlignedBuffer buffer = aligned_buffer(longest + 8);
    gate.wait();
    return file_job(directory.get(), files, job, jobs, buffer.get(), longest + 8);
  });
}

Result<Work> read_listed(const std::string& root, const std::vector<FileSpec>& files, Which which) {
  std::map<std::string, FileSpec> known;
  uint64_t longest = 0;
  for (const FileSpec& file : files) {
    known[file.path] = file;
    longest = std::max(longest, file.size_bytes);
  }
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    UniqueFd top = TRY(open_to_read(root, O_DIRECTORY));
    AlignedBuffer buffer = aligned_buffer(longest + 8);
    gate.wait();
    uint64_t done = 0;
    for (const std::string& directory : TRY(names_in(root))) {
      for (const std::string& name : TRY(names_in(root + "/" + directory))) {
        const auto file = known.find(directory + "/" + name);
        if (file == known.end()) return Error(EBADMSG, "bench.read", "unknown file " + name);
        done += TRY(file_job(top.get(), {file->second}, 0, 1, buffer.get(), longest + 8));
        if (which == Which::kFirstOfEach) break;
      }
    }
    if (which == Which::kAll && done != files.size()) {
      return Error(EBADMSG, "bench.read", "files are missing in " + root);
    }
    return done;
  });
}

Result<Work> stat_files(const std::string& root, const std::vector<FileSpec>& files,
                        unsigned jobs) {
  return run_jobs(jobs, [&](unsigned job, Gate& gate) -> Result<uint64_t> {
    UniqueFd directory = TRY(open_to_read(root, O_DIRECTORY));
    gate.wait();
    uint64_t done = 0;
    for (size_t i = job; i < files.size(); i += jobs, ++done) {
      struct stat now {};
      if (::fstatat(directory.get(), files[i].path.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) {
        return Error(errno, "bench.stat", "cannot stat " + files[i].path);
      }
      if (static_cast<uint64_t>(now.st_size) != files[i].size_bytes) {
        return Error(EBADMSG, "bench.stat", files[i].path + ": wrong size");
      }
    }
    return done;
  });
}

Result<Work> find_ls(const std::string& root, uint64_t names) {
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    gate.wait();
    int null_fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::dup2(null_fd, 1);
    std::string command = "exec find " + root + " -ls";
    if (::system(command.c_str()) != 0) return Error(EIO, "bench.find", "find failed in " + root);
    return names;
  });
}

}  // namespace netfs::bench
