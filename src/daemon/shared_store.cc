#include "daemon/shared_store.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>

#include "daemon/writing_mark.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr size_t kIdleBytesMax = 16 << 20;
constexpr uint64_t kCacheBytesMin = 16 << 20;
// A disk at which somebody stands so long in one and the same wait is frozen, or as good as that.
constexpr Duration kStandstill = std::chrono::seconds(5);
constexpr Duration kTryAgain = std::chrono::seconds(1);
constexpr Duration kBetweenLooksAtOpener = std::chrono::milliseconds(100);

// How long a thread of ours has stood, unkillably, in one and the same wait.
class StandingThread {
 public:
  // 0: there is none yet.
  bool stands_for(pid_t thread, Duration time) {
    const MonoTime now = Clock::system().now();
    std::string wait = thread == 0 ? "" : wait_of(thread);
    if (wait.empty() || wait != wait_) {
      wait_ = std::move(wait);
      since_ = now;
    }
    return now - since_ >= time;
  }

 private:
  // What differs from one wait to the next; empty: it is in none.
  static std::string wait_of(pid_t thread) {
    std::ifstream in(fmt::format("/proc/self/task/{}/status", thread));
    bool stands = false;
    std::string switches;
    for (std::string line; std::getline(in, line);) {
      stands = stands || line.starts_with("State:\tD");
      if (line.find("ctxt_switches:") != std::string::npos) switches += line;
    }
    return stands ? switches : "";
  }

  std::string wait_;
  MonoTime since_ = Clock::system().now();
};

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

// Whether it is for the caller to do; else it is open, or opened by somebody nobody waits for.
bool SharedStore::begin_opening() {
  sync::MutexLock lock(mutex_);
  while (state_ == State::kOpening) changed_.wait(mutex_);
  if (state_ == State::kNew) {
    state_ = options_.cache_dir.empty() ? State::kOpen : State::kOpening;
  }
  return state_ == State::kOpening;
}

Result<void> SharedStore::open() {
  if (!begin_opening()) return {};
  const Result<bool> opened = open_now();
  if (opened.ok()) return {};
  const sync::MutexLock lock(mutex_);
  state_ = State::kNew;
  changed_.notify_all();
  return opened.error();
}

// Whether somebody has gone on without it meanwhile.  No lock is held while the disk works; whoever
// comes then waits for the state to change.
Result<bool> SharedStore::open_now() {
  const uint64_t limit = TRY(limit_bytes(options_.cache_size, options_.cache_dir));
  std::unique_ptr<cachefiles::CacheFiles> cache = TRY(
      cachefiles::CacheFiles::create({.directory = options_.cache_dir, .size_limit_bytes = limit}));
  Offload::Options offload_options;
  offload_options.queue_bytes_max = offload_queue_bytes(options_.memory_bytes);
  auto offload = std::make_unique<Offload>(cache->open_writer(), offload_options);
  {
    const sync::MutexLock lock(mutex_);
    if (!closing_) {
      cache_ = std::move(cache);
      offload_ = std::move(offload);
      why_no_cache_.clear();
      changed_.notify_all();
      return std::exchange(state_, State::kOpen) == State::kLate;
    }
  }
  offload.reset();  // holds the cache's writer: it goes first
  return Error(ECANCELED, "cache", "nobody waits for it any more");
}

// Not by the caller itself: who stands in a disk that is frozen stays there until the thaw.
void SharedStore::open_or_go_on(UniqueFunction<void()> came) {
  if (!begin_opening()) return;
  {
    const sync::MutexLock lock(mutex_);
    came_ = std::move(came);
    opener_runs_ = true;
    opener_ = sync::Thread("netfs-cache", [this] { open_behind(); });
  }
  StandingThread opener;
  while (!opener.stands_for(opener_thread_, kStandstill)) {
    const sync::MutexLock lock(mutex_);
    if (state_ != State::kOpening) return;
    changed_.wait_until(mutex_, Clock::system().now() + kBetweenLooksAtOpener);
  }
  go_on_without(fmt::format("the disk of {} stands still", options_.cache_dir));
}

// Whoever waits for the cache waits no more.  Told anew where the reason is another.
void SharedStore::go_on_without(const std::string& why) {
  {
    const sync::MutexLock lock(mutex_);
    const bool is_wanted = state_ == State::kOpening || state_ == State::kLate;
    if (closing_ || !is_wanted || why_no_cache_ == why) return;
    state_ = State::kLate;
    why_no_cache_ = why;
    changed_.notify_all();
  }
  telemetry::log_error("cache", "going on without a cache: {}", why);
}

// A process that was killed while the disk stood still has the cache until it goes on.
void SharedStore::open_behind() {
  opener_thread_ = ::gettid();
  Result<bool> opened = open_now();
  while (!opened.ok()) {
    go_on_without(opened.error().message());
    if (!opened.is_error(EBUSY) || !may_try_again()) break;
    opened = open_now();
  }
  if (opened.ok() && opened.value()) {
    telemetry::log_info("cache", "{} is there again", options_.cache_dir);
    std::set<std::string> distrusted;
    {
      const sync::MutexLock lock(mutex_);
      distrusted.swap(distrusted_);
    }
    for (const std::string& volume_key : distrusted) leave_mark(volume_key);
    came_();
  }
  const sync::MutexLock lock(mutex_);
  opener_runs_ = false;
  changed_.notify_all();
}

void SharedStore::distrust(const std::string& volume_key) {
  {
    const sync::MutexLock lock(mutex_);
    if (!cache_) {
      distrusted_.insert(volume_key);
      return;
    }
  }
  leave_mark(volume_key);
}

// The next process finds it as if the one that wrote had died.
void SharedStore::leave_mark(const std::string& volume_key) {
  const Result<WritingMark::Found> made = WritingMark(options_.cache_dir, volume_key).set();
  if (!made.ok()) telemetry::log_warn("cache", "{}", made.error().message());
}

// In a while; false when the store is being closed.
bool SharedStore::may_try_again() {
  const MonoTime next = Clock::system().now() + kTryAgain;
  const sync::MutexLock lock(mutex_);
  while (!closing_ && changed_.wait_until(mutex_, next)) {
  }
  return !closing_;
}

bool SharedStore::close(Deadline deadline) {
  sync::Thread opener;
  {
    const sync::MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
    while (opener_runs_) {
      if (changed_.wait_until(mutex_, deadline.at)) continue;
      telemetry::log_warn("cache", "{} does not answer", options_.cache_dir);
      return false;
    }
    opener = std::move(opener_);
  }
  opener.join();
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

cachefiles::CacheFiles* SharedStore::cache_for(const std::string& volume_key, bool writes) {
  const sync::MutexLock lock(mutex_);
  if (!cache_ && writes && !options_.cache_dir.empty()) changed_volumes_.insert(volume_key);
  return changed_volumes_.contains(volume_key) ? nullptr : cache_.get();
}

std::string SharedStore::why_no_cache() const {
  const sync::MutexLock lock(mutex_);
  return why_no_cache_;
}

Offload* SharedStore::offload() {
  const sync::MutexLock lock(mutex_);
  return offload_.get();
}

}  // namespace netfs::daemon
