// What the store costs: storing, cached reads beside plain pread, and look-ups.

#include <atomic>
#include <benchmark/benchmark.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "cachefiles/test_store.h"
#include "sync/thread.h"

namespace netfs::cachefiles {
namespace {

// 1 GiB through two threads in pieces of 1 MiB, with commits beside them, durable at the end.
void store_sequential(benchmark::State& state) {
  const std::string piece = test_bytes(1, 1 << 20);
  constexpr uint64_t kPieces = 1024;
  for (auto _ : state) {
    state.PauseTiming();
    TestDirectory directory;
    auto store = std::make_unique<TestStore>(directory.path(),
                                             TestStoreOptions{.size_limit_bytes = 8ull << 30});
    const Ref<Cookie> cookie = store->lookup("file", kPieces << 20);
    state.ResumeTiming();
    std::atomic<uint64_t> next{0};
    auto work = [&] {
      for (uint64_t i = 0; (i = next.fetch_add(1)) < kPieces;) {
        if (!store->put(*cookie, i * 16, piece).ok()) state.SkipWithError("store");
        if (i % 256 == 255 && !store->writer().commit().ok()) state.SkipWithError("commit");
      }
    };
    {
      sync::Thread first("store-0", work);
      sync::Thread second("store-1", work);
    }
    store->writer().may_seal(*cookie);
    if (!store->writer().commit().ok()) state.SkipWithError("commit");
    if (cookie->state() != ObjectState::kSealed) state.SkipWithError("not sealed");
    state.PauseTiming();
    store.reset();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * (kPieces << 20)));
}
BENCHMARK(store_sequential)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);

// The same bytes by plain writes and one fdatasync: what the disk can take.
void plain_write(benchmark::State& state) {
  const std::string piece = test_bytes(1, 1 << 20);
  for (auto _ : state) {
    state.PauseTiming();
    TestDirectory directory;
    const UniqueFd fd(::open((directory.path() + "/f").c_str(), O_RDWR | O_CREAT, 0600));
    state.ResumeTiming();
    for (int i = 0; i < 1024; ++i) {
      if (::pwrite(fd.get(), piece.data(), piece.size(), off_t{i} << 20) < 0) {
        state.SkipWithError("pwrite");
      }
    }
    if (::fdatasync(fd.get()) != 0) state.SkipWithError("fdatasync");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * (1ull << 30)));
}
BENCHMARK(plain_write)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);

struct Filled {
  TestDirectory directory;
  TestStore store{directory.path()};
  std::string bytes = test_bytes(2, 64 << 20);
  Ref<Cookie> cookie = store.lookup("file", 64 << 20);
  Filled() {
    NETFS_ASSERT(store.put(*cookie, 0, bytes).ok());
    NETFS_ASSERT(store.writer().commit().ok());
  }
};

void cached_read(benchmark::State& state) {
  Filled filled;
  std::vector<std::byte> buffer(static_cast<size_t>(state.range(0)));
  uint64_t at = 0;
  NETFS_ASSERT(filled.cookie->read(0, buffer, Waiting::kDisk).ok());
  for (auto _ : state) {
    if (!filled.cookie->read(at, buffer, Waiting::kNever).ok()) state.SkipWithError("read");
    at = (at + buffer.size()) % (64 << 20);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * buffer.size()));
}
BENCHMARK(cached_read)->Arg(4096)->Arg(65536)->Arg(1 << 20);

void plain_read_and_crc(benchmark::State& state) {
  Filled filled;
  const UniqueFd fd(::open((filled.directory.path() + "/plain").c_str(), O_RDWR | O_CREAT, 0600));
  NETFS_ASSERT(::pwrite(fd.get(), filled.bytes.data(), filled.bytes.size(), 0) > 0);
  std::vector<std::byte> buffer(static_cast<size_t>(state.range(0)));
  uint64_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(at)));
    for (size_t page = 0; page < buffer.size(); page += kPageBytes) {
      benchmark::DoNotOptimize(crc32c(std::span(buffer).subspan(page, kPageBytes)));
    }
    at = (at + buffer.size()) % (64 << 20);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * buffer.size()));
}
BENCHMARK(plain_read_and_crc)->Arg(4096)->Arg(65536)->Arg(1 << 20);

// Small sealed files: stored, then looked up by a store that has just been opened.
void small_files(benchmark::State& state) {
  TestDirectory directory;
  const int count = 10000;
  const std::string bytes = test_bytes(3, 16384);
  {
    TestStore store(directory.path());
    for (int i = 0; i < count; ++i) {
      const Ref<Cookie> cookie = store.lookup("dir/small" + std::to_string(i), bytes.size());
      NETFS_ASSERT(store.put(*cookie, 0, bytes).ok());
      store.writer().may_seal(*cookie);
      if (i % 1000 == 999) NETFS_ASSERT(store.writer().commit().ok());
    }
  }
  for (auto _ : state) {
    TestStore store(directory.path());
    const auto began = Clock::system().now();
    for (int i = 0; i < count; ++i) {
      const Ref<Cookie> cookie = store.lookup("dir/small" + std::to_string(i), bytes.size());
      if (cookie->state() != ObjectState::kSealed) state.SkipWithError("not sealed");
    }
    const auto took = Clock::system().now() - began;
    state.SetIterationTime(std::chrono::duration<double>(took).count() / count);
  }
}
BENCHMARK(small_files)->UseManualTime()->Iterations(5)->Unit(benchmark::kMicrosecond);

void store_small_files(benchmark::State& state) {
  const std::string bytes = test_bytes(3, 16384);
  for (auto _ : state) {
    state.PauseTiming();
    TestDirectory directory;
    auto store = std::make_unique<TestStore>(directory.path());
    state.ResumeTiming();
    for (int i = 0; i < 5000; ++i) {
      const Ref<Cookie> cookie = store->lookup("dir/small" + std::to_string(i), bytes.size());
      NETFS_ASSERT(store->put(*cookie, 0, bytes).ok());
      store->writer().may_seal(*cookie);
      if (i % 500 == 499) NETFS_ASSERT(store->writer().commit().ok());
    }
    state.PauseTiming();
    store.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * 5000));
}
BENCHMARK(store_small_files)->Iterations(3)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace netfs::cachefiles
