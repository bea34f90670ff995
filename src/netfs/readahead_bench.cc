// What share of a link one sequential reader gets, cold: netfs_readahead_bench prints a table.
//
// A simulated origin behind a simulated link, no cache; 128 KiB reads one after the other, as a
// program that copies a file makes them.  The share counts everything from the first read on: the
// open, the first round trip and the window's growth.

#include <benchmark/benchmark.h>
#include <memory>

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

}  // namespace
}  // namespace netfs
