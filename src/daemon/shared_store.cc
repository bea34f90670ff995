#include "daemon/shared_store.h"

#include <algorithm>
#include <cstring>
#include <sys/statvfs.h>

#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr size_t kIdleBytesMax = 16 << 20;
constexpr uint64_t kCacheBytesMin = 16 << 20;

}  // namespace

Result<uint64_t> limit_bytes(const DiskAmount& amount, const std::string& directory) {
  if (amount.percent == 0) return std::max(amount.bytes, kCacheBytesMin);
  struct statvfs disk {};
  if (::statvfs(directory.c_str(), &disk) != 0) {
    const Error error = Error::from_errno("cache");
    return Error(
        error.code(), "cache",
        fmt::format("cannot size the disk of {}: {}", directory, std::strerror(error.code())));
  }
  return std::max(disk.f_blocks * disk.f_frsize / 100 * amount.percent, kCacheBytesMin);
}

size_t offload_queue_bytes(uint64_t memory_bytes) {
  return static_cast<size_t>(memory_bytes / 2);
}

SharedStore::SharedStore(Options options)
    : options_(std::move(options)), pool_(options_.memory_bytes, kIdleBytesMax) {}

SharedStore::~SharedStore() = default;

Result<void> SharedStore::open() {
  {
    sync::MutexLock lock(mutex_);
    while (state_ == State::kOpening) changed_.wait(mutex_);
    if (state_ == State::kOpen) return {};
    if (options_.cache_dir.empty()) {
      state_ = State::kOpen;
      return {};
    }
    state_ = State::kOpening;
  }
  // No lock is held while the disk works; whoever comes meanwhile waits for the state to change.
  const Result<uint64_t> limit = limit_bytes(options_.cache_size, options_.cache_dir);
  if (!limit.ok()) {
    set_state(State::kNew);
    return limit.error();
  }
  Result<std::unique_ptr<cachefiles::CacheFiles>> cache = cachefiles::CacheFiles::create(
      {.directory = options_.cache_dir, .size_limit_bytes = limit.value()});
  if (!cache.ok()) {
    set_state(State::kNew);
    return cache.error();
  }
  Offload::Options offload_options;
  offload_options.queue_bytes_max = offload_queue_bytes(options_.memory_bytes);
  auto offload = std::make_unique<Offload>(cache.value()->open_writer(), offload_options);
  {
    const sync::MutexLock lock(mutex_);
    cache_ = std::move(cache).value();
    offload_ = std::move(offload);
  }
  set_state(State::kOpen);
  return {};
}

void SharedStore::give_up_cache() {
  set_state(State::kOpen);
}

void SharedStore::set_state(State state) {
  const sync::MutexLock lock(mutex_);
  state_ = state;
  changed_.notify_all();
}

bool SharedStore::close(Deadline deadline) {
  Offload* offload_now = offload();
  cachefiles::CacheFiles* cache_now = cache();
  if (cache_now == nullptr) return true;
  if (!offload_now->close(deadline)) {
    telemetry::log_warn("cache", "{} does not answer; the last stores are lost",
                        options_.cache_dir);
    return false;
  }
  const Result<void> closed = cache_now->close();
  if (!closed.ok()) {
    telemetry::log_warn("cache", "{} did not end cleanly: {}", options_.cache_dir,
                        closed.error().message());
  }
  std::unique_ptr<Offload> offload_end;
  std::unique_ptr<cachefiles::CacheFiles> cache_end;
  {
    const sync::MutexLock lock(mutex_);
    offload_end = std::move(offload_);
    cache_end = std::move(cache_);
  }
  offload_end.reset();  // holds the cache's writer: it goes first
  return true;
}

cachefiles::CacheFiles* SharedStore::cache() {
  const sync::MutexLock lock(mutex_);
  return cache_.get();
}

Offload* SharedStore::offload() {
  const sync::MutexLock lock(mutex_);
  return offload_.get();
}

}  // namespace netfs::daemon
