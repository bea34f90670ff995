// What a capture costs at a depth: along frame pointers, as the validator does it; and by the
// unwind tables, as it would without.  A depth beyond the span is cut off, as in the validator.

#include <array>
#include <benchmark/benchmark.h>

#include "lockdep/arena.h"
#include "lockdep/stack_capture.h"
#include "lockdep/stack_depot.h"

namespace netfs::lockdep {
namespace {

template <typename Work>
__attribute__((noinline)) void below(int64_t depth, const Work& work) {
  if (depth == 0) {
    work();
  } else {
    below(depth - 1, work);
  }
  asm volatile("" ::: "memory");  // no tail call
}

void measure(benchmark::State& state, size_t (*capture)(std::span<uintptr_t>)) {
  size_t count = 0;
  below(state.range(0), [&] {
    std::array<uintptr_t, 128> frames;
    for (auto _ : state) {
      count = capture(frames);
      benchmark::DoNotOptimize(frames);
    }
  });
  state.counters["frames"] = static_cast<double>(count);
}

void captured(benchmark::State& state) {
  measure(state, capture_stack);
}
void by_tables(benchmark::State& state) {
  measure(state, capture_unwind_tables);
}

// Both steps of keeping a stack that the depot knows.
void captured_and_interned(benchmark::State& state) {
  StackDepot depot;
  Arena arena;
  below(state.range(0), [&] {
    std::array<uintptr_t, 128> frames;
    for (auto _ : state) {
      const size_t count = capture_stack(frames);
      benchmark::DoNotOptimize(depot.intern(arena, frames.data(), count));
    }
  });
}

BENCHMARK(captured)->Arg(4)->Arg(16)->Arg(64);
BENCHMARK(captured_and_interned)->Arg(4)->Arg(16)->Arg(64);
BENCHMARK(by_tables)->Arg(4)->Arg(16)->Arg(64);

}  // namespace
}  // namespace netfs::lockdep
