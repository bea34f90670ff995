#include "harness/content.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace netfs::bench {

namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr time_t kDaySeconds = 86400;

Result<void> age(int fd) {
  timespec old{.tv_sec = ::time(nullptr) - kDaySeconds, .tv_nsec = 0};
  timespec times[2] = {old, old};
  if (::futimens(fd, times) != 0) return Error::from_errno("bench.futimens");
  return {};
}

Error wrong(const FileSpec& file, uint64_t offset_bytes, const char* what) {
  return Error(EBADMSG, "bench.verify",
               file.path + ": " + what + " at offset " + std::to_string(offset_bytes));
}

}  // namespace

void fill_content(std::span<std::byte> out, uint64_t seed, uint64_t offset_bytes) {
  for (size_t i = 0; i + 8 <= out.size(); i += 8) {
    uint64_t word = word_at(seed, offset_bytes + i);
    std::memcpy(out.data() + i, &word, sizeof word);
  }
}

Result<void> make_file(const FileSpec& file) {
  UniqueFd fd(::open(file.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return Error(errno, "bench.make_file", "cannot make " + file.path);
  std::vector<std::byte> chunk(std::min<uint64_t>(kChunkBytes, file.size_bytes));
  for (uint64_t at = 0; at < file.size_bytes; at += chunk.size()) {
    chunk.resize(std::min<uint64_t>(kChunkBytes, file.size_bytes - at));
    fill_content(chunk, file.seed, at);
    if (::write(fd.get(), chunk.data(), chunk.size()) != static_cast<ssize_t>(chunk.size())) {
      return Error(errno, "bench.make_file", "cannot write " + file.path);
    }
  }
  return age(fd.get());
}

Result<void> verify_file(const FileSpec& file) {
  UniqueFd fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error(errno, "bench.verify", "cannot open " + file.path);
  std::vector<std::byte> got(kChunkBytes);
  std::vector<std::byte> expected(kChunkBytes);
  uint64_t at = 0;
  for (;;) {
    ssize_t length = ::pread(fd.get(), got.data(), got.size(), static_cast<off_t>(at));
    if (length < 0) return Error(errno, "bench.verify", "cannot read " + file.path);
    if (length == 0) break;
    size_t whole = static_cast<size_t>(length);
    if (whole % 8 != 0) return wrong(file, at, "a read cut short");
    fill_content(std::span(expected).first(whole), file.seed, at);
    if (std::memcmp(got.data(), expected.data(), whole) != 0) return wrong(file, at, "wrong bytes");
    at += whole;
  }
  if (at != file.size_bytes) return wrong(file, at, "the end");
  return {};
}

std::vector<FileSpec> tree_files(const TreeSpec& tree) {
  std::vector<FileSpec> files;
  files.reserve(tree.count);
  uint64_t span = tree.max_bytes - tree.min_bytes;
  for (size_t i = 0; i < tree.count; ++i) {
    char path[64];
    snprintf(path, sizeof path, "d%03zu/f%06zu", i / tree.per_directory, i);
    uint64_t extra = span == 0 ? 0 : mix(tree.seed ^ i) % (span + 1);
    files.push_back({path, tree.seed + i, (tree.min_bytes + extra) / 8 * 8});
  }
  return files;
}

Result<void> make_tree(const std::string& root, const TreeSpec& tree) {
  ::mkdir(root.c_str(), 0755);
  std::string directory;
  for (const FileSpec& file : tree_files(tree)) {
    std::string parent = root + "/" + file.path.substr(0, file.path.find('/'));
    if (parent != directory) {
      if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
        return Error(errno, "bench.make_tree", "cannot make " + parent);
      }
      directory = parent;
    }
    TRY(make_file({root + "/" + file.path, file.seed, file.size_bytes}));
  }
  return {};
}

}  // namespace netfs::bench
