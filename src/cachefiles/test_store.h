#pragma once
// TestStore: a store with its writer and one volume, and bytes to put into it.  For tests only.

#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>

#include "base/assert.h"
#include "base/manual_clock.h"
#include "cachefiles/cache_files.h"
#include "cachefiles/limits.h"

namespace netfs::cachefiles {

// A directory that goes with the test.
class TestDirectory {
 public:
  TestDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "netfs-cache-XXXXXX").string();
    NETFS_ASSERT(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Bytes that tell their place: no two pages of any two seeds are alike.
inline std::string test_bytes(uint64_t seed, uint64_t size) {
  std::string bytes(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (uint64_t at = 0; at < size; ++at) {
    if (at % 8 == 0) state = state * 6364136223846793005ull + 1442695040888963407ull;
    bytes[at] = static_cast<char>(state >> (8 * (at % 8)));
  }
  return bytes;
}

inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string read_descriptor(int fd) {
  std::string all;
  char buffer[65536];
  ssize_t n = 0;
  while ((n = ::pread(fd, buffer, sizeof buffer, static_cast<off_t>(all.size()))) > 0) {
    all.append(buffer, static_cast<size_t>(n));
  }
  return all;
}

inline CookieKey test_key(const std::string& path, uint64_t size, const std::string& version) {
  CookieKey key;
  key.identity = path;
  key.path = path;
  key.size_bytes = size;
  key.validator.strength = ValidatorStrength::kStrong;
  key.validator.bytes = version;
  return key;
}

struct TestStoreOptions {
  uint64_t size_limit_bytes = 1ull << 30;
  uint32_t descriptor_budget = 64;
  Disk* disk = nullptr;
  CacheForm form = our_cache_form();
};

class TestStore {
 public:
  explicit TestStore(const std::string& directory, TestStoreOptions options = {}) {
    CacheFiles::Options cache_options{.directory = directory,
                                      .size_limit_bytes = options.size_limit_bytes,
                                      .descriptor_budget = options.descriptor_budget,
                                      .clock = clock_,
                                      .disk = options.disk,
                                      .form = options.form};
    Result<std::unique_ptr<CacheFiles>> created = CacheFiles::create(cache_options);
    if (!created.ok()) {
      error_ = created.error();
      return;
    }
    cache_ = std::move(created).value();
    Result<Ref<Volume>> volume = cache_->open_volume("test://volume");
    if (!volume.ok()) {
      error_ = volume.error();
      return;
    }
    volume_ = std::move(volume).value();
    writer_ = cache_->open_writer();
  }

  [[nodiscard]] bool ok() const { return writer_ != nullptr; }
  [[nodiscard]] const Error& error() const { return error_; }
  CacheFiles& cache() { return *cache_; }
  CacheWriter& writer() { return *writer_; }
  Volume& volume() { return *volume_; }
  ManualClock& clock() { return clock_; }

  Ref<Cookie> lookup(const std::string& path, uint64_t size, const std::string& version = "v1") {
    Result<Ref<Cookie>> cookie = volume_->lookup(test_key(path, size, version));
    NETFS_ASSERT(cookie.ok());
    return std::move(cookie).value();
  }
  Result<void> put(Cookie& cookie, uint64_t first_block, const std::string& bytes) {
    return writer_->store(cookie, BlockIndex(first_block), bytes_of(bytes));
  }
  Result<std::string> read(Cookie& cookie, uint64_t offset, uint64_t length,
                           Waiting waiting = Waiting::kDisk) {
    std::string out(length, '?');
    TRY(cookie.read(offset, std::as_writable_bytes(std::span(out.data(), out.size())), waiting));
    return out;
  }
  std::string read_all(Cookie& cookie) {
    const Result<std::string> got = read(cookie, 0, cookie.key().size_bytes);
    return got.ok() ? got.value() : "error: " + got.error().message();
  }
  void seal(Cookie& cookie, const std::string& bytes) {
    NETFS_ASSERT(put(cookie, 0, bytes).ok());
    writer_->may_seal(cookie);
    NETFS_ASSERT(writer_->commit().ok());
  }

 private:
  ManualClock clock_;
  Error error_{EIO, "none"};
  std::unique_ptr<CacheFiles> cache_;
  Ref<Volume> volume_;
  std::unique_ptr<CacheWriter> writer_;
};

}  // namespace netfs::cachefiles
