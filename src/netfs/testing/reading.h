#pragma once
// LibraryFixture: a Library over a simulated origin and a memory cache, and reads that wait for
// their answers: what most tests of this room begin with.

#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "netfs/library.h"
#include "netfs/library_stats.h"
#include "netfs/offload.h"
#include "netfs/read_stream.h"
#include "netfs/testing/memory_cache.h"
#include "netfs/testing/simulated_origin.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs {

// An answer that can be waited for.
class PendingRead {
 public:
  PendingRead() : state_(std::make_shared<State>()) {}

  [[nodiscard]] ReadDone callback() const {
    return [state = state_](Result<ReadResult> result) {
      sync::MutexLock lock(state->mutex);
      NETFS_ASSERT(!state->result);
      state->result.emplace(std::move(result));
      state->changed.notify_all();
    };
  }
  [[nodiscard]] bool done() const {
    sync::MutexLock lock(state_->mutex);
    return state_->result.has_value();
  }
  [[nodiscard]] bool wait(Duration timeout = std::chrono::seconds(60)) const {
    const MonoTime until = Clock::system().now() + timeout;
    sync::MutexLock lock(state_->mutex);
    while (!state_->result) {
      if (!state_->changed.wait_until(state_->mutex, until)) return state_->result.has_value();
    }
    return true;
  }
  // The bytes, or the error; ETIME when there is no answer in time.
  [[nodiscard]] Result<std::string> take() const {
    if (!wait()) return Error(ETIME, "test.read");
    sync::MutexLock lock(state_->mutex);
    if (!state_->result->ok()) return state_->result->error();
    std::string bytes;
    for (const BufferSlice& slice : state_->result->value().slices) {
      const std::span<const std::byte> part = slice.bytes();
      bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
    }
    return bytes;
  }

 private:
  struct State {
    sync::Mutex mutex{kSimulatedOriginLock};
    sync::CondVar changed;
    std::optional<Result<ReadResult>> result GUARDED_BY(mutex);
  };
  std::shared_ptr<State> state_;
};

struct LibraryFixture {
  struct Options {
    SimulatedOrigin::Options origin;
    Offload::Options offload;
    size_t budget_bytes = size_t{32} << 20;
    Duration timeout = std::chrono::seconds(60);
    bool readahead = false;
    bool cached = true;
    uint64_t write_behind_bytes = 0;
  };

  LibraryFixture() : LibraryFixture(Options{}) {}
  explicit LibraryFixture(Options with)
      : options(std::move(with)),
        pool(options.budget_bytes, options.budget_bytes / 4),
        origin(options.origin),
        offload(std::make_unique<Offload>(cache.open_writer(), options.offload)) {
    start();
  }
  ~LibraryFixture() {
    cache.unblock_stores();
    cache.unblock_reads();
    library.reset();
    offload.reset();
  }

  void start() {
    Ref<Volume> volume;
    if (options.cached) volume = MUST(cache.open_volume(origin.volume_key()));  // in memory
    library = MUST(Library::create({.origin = origin,
                                    .volume = volume,
                                    .offload = options.cached ? offload.get() : nullptr,
                                    .pool = pool,
                                    .timeout = options.timeout,
                                    .readahead = options.readahead,
                                    .write_behind_bytes = options.write_behind_bytes}));
  }
  // The version that the origin has now.
  Ref<File> open(const std::string& path) {
    const NodeInfo info = MUST(origin.stat(path, Deadline::never()));  // the test made the file
    return MUST(library->open({.path = path,
                               .identity = info.identity,
                               .validator = info.validator,
                               .size_bytes = info.attributes.size_bytes}));  // nor can this fail
  }
  static PendingRead begin_read(File& file, ByteRange range, ReadStream* stream = nullptr,
                                const sync::Context& context = {}) {
    PendingRead pending;
    file.read(stream, range, context, pending.callback());
    return pending;
  }
  static Result<std::string> read(File& file, ByteRange range, ReadStream* stream = nullptr) {
    return begin_read(file, range, stream).take();
  }
  // Until all that was downloaded is stored: a read is answered before its store is queued, and
  // that before its subrequest counts as closed.
  bool drain() {
    const Deadline deadline = Deadline::after(Clock::system(), std::chrono::seconds(60));
    while (library->stats().subrequests_open > 0) {
      if (deadline.passed(Clock::system().now())) return false;
    }
    return offload->drain(Deadline::after(Clock::system(), std::chrono::seconds(60)));
  }

  // Another library over the same cache: what was in memory is forgotten.
  void restart() {
    library.reset();
    start();
  }
  // The same with another offload: the cache was detached, and now it is back.
  void reattach() {
    library.reset();
    offload.reset();
    offload = std::make_unique<Offload>(cache.open_writer(), options.offload);
    start();
  }

  const Options options;
  BufferPool pool;  // a thread of the origin's may let go of a buffer last
  SimulatedOrigin origin;
  MemoryCache cache;
  std::unique_ptr<Offload> offload;
  std::unique_ptr<Library> library;
};

// The bytes of a pattern file.
inline std::string pattern(uint64_t seed, ByteRange range) {
  std::string bytes(range.length_bytes, '\0');
  for (uint64_t i = 0; i < range.length_bytes; ++i) {
    bytes[i] = static_cast<char>(pattern_byte(seed, range.offset_bytes + i));
  }
  return bytes;
}

}  // namespace netfs
