// What watching adds to a lock+unlock pair: a bare mutex beside a watched one, nested 1, 4 and 16
// deep, on 1, 2 and 8 threads, each with its own locks of the same classes.  `pair` is the time of
// one pair.  New: what the first sight of a chain costs.

#include <benchmark/benchmark.h>
#include <memory>
#include <mutex>
#include <vector>

#include "lockdep/lockdep.h"

namespace netfs::lockdep {
namespace {

constexpr size_t kDepthMax = 16;
ClassKey keys[kDepthMax] = {ClassKey("b0"),  ClassKey("b1"),  ClassKey("b2"),  ClassKey("b3"),
                            ClassKey("b4"),  ClassKey("b5"),  ClassKey("b6"),  ClassKey("b7"),
                            ClassKey("b8"),  ClassKey("b9"),  ClassKey("b10"), ClassKey("b11"),
                            ClassKey("b12"), ClassKey("b13"), ClassKey("b14"), ClassKey("b15")};

struct Bare {
  explicit Bare(const ClassKey&) {}
  void lock() { mutex.lock(); }
  void unlock() { mutex.unlock(); }
  std::mutex mutex;
};

struct Watched {
  explicit Watched(const ClassKey& key) : instance(key) {}
  __attribute__((noinline)) void lock() {
    acquire(instance, {}, LOCKDEP_CALLER);
    mutex.lock();
  }
  __attribute__((noinline)) void unlock() {
    release(instance, LOCKDEP_CALLER);
    mutex.unlock();
  }
  Instance instance;
  std::mutex mutex;
};

template <typename Lock>
void pairs(benchmark::State& state) {
  const auto depth = static_cast<size_t>(state.range(0));
  std::vector<std::unique_ptr<Lock>> locks;
  for (size_t i = 0; i < depth; ++i) locks.push_back(std::make_unique<Lock>(keys[i]));
  for (auto _ : state) {
    for (size_t i = 0; i < depth; ++i) locks[i]->lock();
    for (size_t i = depth; i > 0; --i) locks[i - 1]->unlock();
  }
  state.counters["pair"] =
      benchmark::Counter(static_cast<double>(depth) * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK(pairs<Bare>)->Arg(1)->Arg(4)->Arg(16)->Threads(1)->Threads(2)->Threads(8);
BENCHMARK(pairs<Watched>)->Arg(1)->Arg(4)->Arg(16)->Threads(1)->Threads(2)->Threads(8);

// A chain of two that was never seen, each time; one edge, without a stack source.
void first_sight(benchmark::State& state) {
  Validator validator;
  Context context(validator, "new");
  const Instance first(keys[0]);
  std::vector<std::unique_ptr<ClassKey>> fresh;
  for (auto _ : state) {
    state.PauseTiming();
    fresh.push_back(std::make_unique<ClassKey>("fresh"));
    const Instance second(*fresh.back());
    state.ResumeTiming();
    validator.acquire(context, first, {}, 1);
    validator.acquire(context, second, {}, 1);
    validator.release(context, second, 1);
    validator.release(context, first, 1);
  }
}
BENCHMARK(first_sight)->Iterations(20000);

}  // namespace
}  // namespace netfs::lockdep
