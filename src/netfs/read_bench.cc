// What readers get of a link, cold, and what a hit costs: netfs_read_bench prints a table.
//
// A simulated origin behind a simulated link, no cache; 128 KiB reads one after the other, as a
// program that copies a file makes them.  The share counts everything from the first read on: the
// open, the first round trip and the window's growth.

#include <algorithm>
#include <benchmark/benchmark.h>
#include <memory>
#include <random>
#include <vector>

#include "base/assert.h"
#include "netfs/library_stats.h"
#include "netfs/simulated_link.h"
#include "netfs/testing/reading.h"

namespace netfs {
namespace {

constexpr uint64_t kReadBytes = 128 << 10;
constexpr uint64_t kBitsPerSecond = 1'000'000'000;

void sequential_over_link(benchmark::State& state) {
  const auto file_bytes = static_cast<uint64_t>(state.range(1)) << 20;
  double share = 0;
  for (auto _ : state) {
    SimulatedOrigin origin({});
    origin.add_pattern("a", file_bytes, 1);
    SimulatedLink link(origin, {.round_trip = std::chrono::milliseconds(state.range(0)),
                                .bits_per_second = kBitsPerSecond});
    BufferPool pool(size_t{96} << 20, size_t{16} << 20);
    auto library = MUST(Library::create({.origin = link, .pool = pool}));  // no cache: no fault
    const NodeInfo info = MUST(origin.stat("a", Deadline::never()));       // it was just made
    {
      const Ref<File> file = MUST(library->open(
          {.path = "a", .validator = info.validator, .size_bytes = file_bytes}));  // from memory
      const std::unique_ptr<ReadStream> stream = file->open_stream();
      const MonoTime began = Clock::system().now();
      for (uint64_t at = 0; at < file_bytes; at += kReadBytes) {
        PendingRead pending;
        file->read(stream.get(), {at, kReadBytes}, {}, pending.callback());
        NETFS_ASSERT(pending.wait());
      }
      const Duration took = Clock::system().now() - began;
      share = static_cast<double>(file_bytes) * 8 / kBitsPerSecond /
              std::chrono::duration<double>(took).count();
    }
    library->close();
    state.counters["wasted_MiB"] =
        static_cast<double>(library->stats().readahead_bytes_wasted.get() >> 20);
  }
  state.counters["share_of_link"] = share;
}
BENCHMARK(sequential_over_link)
    ->ArgNames({"rtt_ms", "MiB"})
    ->ArgsProduct({{1, 20, 100}, {64, 1024}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(1);

// 64 KiB at random places of a big file: median in round trips.
void random_over_link(benchmark::State& state) {
  const auto round_trip = std::chrono::milliseconds(state.range(0));
  constexpr uint64_t kFileBytes = uint64_t{1} << 30;
  SimulatedOrigin origin({});
  origin.add_pattern("a", kFileBytes, 1);
  SimulatedLink link(origin, {.round_trip = round_trip, .bits_per_second = kBitsPerSecond});
  BufferPool pool(size_t{96} << 20, size_t{16} << 20);
  auto library = MUST(Library::create({.origin = link, .pool = pool}));  // no cache: no fault
  const NodeInfo info = MUST(origin.stat("a", Deadline::never()));       // it was just made
  std::vector<double> times;
  {
    const Ref<File> file = MUST(library->open(
        {.path = "a", .validator = info.validator, .size_bytes = kFileBytes}));  // from memory
    const std::unique_ptr<ReadStream> stream = file->open_stream();
    std::mt19937_64 random(1);
    for (auto _ : state) {
      const MonoTime began = Clock::system().now();
      PendingRead pending;
      file->read(stream.get(), {random() % (kFileBytes >> 16) << 16, 64 << 10}, {},
                 pending.callback());
      NETFS_ASSERT(pending.wait());
      times.push_back(std::chrono::duration<double>(Clock::system().now() - began).count());
    }
  }
  std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2),
                   times.end());
  state.counters["median_round_trips"] =
      times[times.size() / 2] / std::chrono::duration<double>(round_trip).count();
  library->close();
}
BENCHMARK(random_over_link)->ArgName("rtt_ms")->Arg(20)->Iterations(100)->UseRealTime();

// The library's own share of a hit, over a cache in memory.
void hit(benchmark::State& state) {
  const auto read_bytes = static_cast<uint64_t>(state.range(0));
  LibraryFixture fixture;
  fixture.origin.add_pattern("a", 8 << 20, 1);
  NETFS_ASSERT(LibraryFixture::read(*fixture.open("a"), {0, 8 << 20}).ok());
  NETFS_ASSERT(fixture.drain());
  fixture.restart();
  const Ref<File> file = fixture.open("a");
  const std::unique_ptr<ReadStream> stream = file->open_stream();
  uint64_t at = 0;
  uint64_t sum = 0;
  for (auto _ : state) {
    file->read(stream.get(), {at, read_bytes}, {},
               [&](const Result<ReadResult>& result) { sum += result.value().length_bytes(); });
    at = (at + read_bytes) % (8 << 20);
  }
  state.SetBytesProcessed(static_cast<int64_t>(sum));
}
BENCHMARK(hit)->Arg(4 << 10)->Arg(128 << 10);

}  // namespace
}  // namespace netfs
