// Many threads at one validator, real signal handlers, a million locks.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <memory>
#include <mutex>
#include <new>
#include <sys/time.h>
#include <thread>
#include <unistd.h>

#include "lockdep/lockdep.h"
#include "lockdep/spin_lock.h"
#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using ::testing::ElementsAre;

// A world whose sink may be called by many threads.
struct SharedWorld {
  SharedWorld() {
    validator.configure({.sink =
                             [](void* self, const Report& report) {
                               auto* world = static_cast<SharedWorld*>(self);
                               const SpinGuard guard(world->lock);
                               world->reports.push_back(report);
                             },
                         .sink_user = this});
  }
  SpinLock lock;
  std::vector<Report> reports;
  Validator validator;
};

void run_threads(int count, void (*body)(SharedWorld&, int), SharedWorld& world) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, std::ref(world), i);
  for (std::thread& thread : threads) thread.join();
}

constinit ClassKey kKeys[8] = {
    ClassKey("r0"), ClassKey("r1"), ClassKey("r2"), ClassKey("r3"),
    ClassKey("r4"), ClassKey("r5"), ClassKey("r6"), ClassKey("r7", {.inner = Wait::kSpin})};
Instance locks[8] = {Instance(kKeys[0]), Instance(kKeys[1]), Instance(kKeys[2]),
                     Instance(kKeys[3]), Instance(kKeys[4]), Instance(kKeys[5]),
                     Instance(kKeys[6]), Instance(kKeys[7])};

TEST(Race, ThreadsThatLearnReadForgetAndScanAtOnceAgreeOnTheOrders) {
  SharedWorld world;
  run_threads(
      8,
      [](SharedWorld& w, int number) {
        std::minstd_rand random(static_cast<unsigned>(number + 1));
        Validator& v = w.validator;
        Context context(v, "racer");
        for (int round = 0; round < 400; ++round) {
          std::vector<Instance*> held;
          for (Instance& lock : locks) {
            if (random() % 2 == 0) continue;
            v.acquire(context, lock, {.mode = static_cast<Mode>(random() % 3)}, 1);
            v.contended(context, lock);
            v.acquired(context, lock);
            held.push_back(&lock);
          }
          if (round % 16 == 0) {
            DynamicKey key(v, "dynamic", {.inner = Wait::kSpin});
            Instance lock(key);
            v.acquire(context, lock, {}, 2);
            v.release(context, lock, 2);
          }
          if (round % 32 == number) {
            (void)v.scan_waits();
            (void)v.statistics();
            (void)v.edges();
          }
          while (!held.empty()) {
            const size_t out = random() % held.size();
            v.release(context, *held[out], 1);
            held.erase(held.begin() + static_cast<ptrdiff_t>(out));
          }
        }
      },
      world);
  EXPECT_EQ(world.reports.size(), 0U);
  EXPECT_EQ(world.validator.statistics().edges, 28U);  // all pairs of 8, in one direction
  EXPECT_EQ(world.validator.statistics().contexts, 0U);
}

// A scan reads one context after the other while they go on: what it saw at different moments is
// no circle.  One takes first and second together, the other each alone, so there is never one.
TEST(Race, AScanTakesNoWaitsOfDifferentMomentsForACircle) {
  struct Shared : SharedWorld {
    std::mutex real[2];
    std::atomic<bool> stop{false};
    void take(Context& context, int which) {
      validator.acquire(context, locks[which], {}, 1);
      if (real[which].try_lock()) return;
      validator.contended(context, locks[which]);
      real[which].lock();
      validator.acquired(context, locks[which]);
    }
    void drop(Context& context, int which) {
      validator.release(context, locks[which], 1);
      real[which].unlock();
    }
  } world;
  Context both(world.validator, "both", ContextKind::kThread);
  Context each(world.validator, "each", ContextKind::kThread);
  // The scan passes these between the two, which gives them time.
  std::vector<std::unique_ptr<Context>> idle;
  for (int i = 0; i < 500; ++i) idle.push_back(std::make_unique<Context>(world.validator, "idle"));
  std::thread one([&] {
    while (!world.stop) {
      world.take(both, 0);
      world.take(both, 1);
      world.drop(both, 1);
      world.drop(both, 0);
    }
  });
  std::thread other([&] {
    while (!world.stop) {
      for (const int which : {0, 1}) {
        world.take(each, which);
        world.drop(each, which);
      }
    }
  });
  size_t stuck = 0;
  for (int i = 0; i < 20'000; ++i) stuck += world.validator.scan_waits();
  world.stop = true;
  one.join();
  other.join();
  EXPECT_EQ(stuck, 0U);
  EXPECT_EQ(world.reports.size(), 0U);
}

TEST(Race, SixtyFourThreadsWithTheSameBugGiveOneReport) {
  SharedWorld world;
  run_threads(
      64,
      [](SharedWorld& w, int number) {
        Context context(w.validator, "thread", ContextKind::kThread);
        Instance& first = locks[number % 2];
        Instance& second = locks[1 - number % 2];
        for (int round = 0; round < 20; ++round) {
          w.validator.acquire(context, first, {}, 1);
          w.validator.acquire(context, second, {}, 1);
          w.validator.release(context, second, 1);
          w.validator.release(context, first, 1);
        }
      },
      world);
  size_t likely = 0;
  for (const Report& report : world.reports) likely += report.verdict == Verdict::kLikely ? 1 : 0;
  EXPECT_EQ(likely, 1U);
  EXPECT_LE(world.reports.size(), 2U);  // it may have been ORDER-ONLY at first
}

TEST(Race, ManyThreadsMayAdoptOneContextThatIsOnlyRead) {
  SharedWorld world;
  Context request(world.validator, "request");
  world.validator.acquire(request, locks[0], {.mode = Mode::kRead}, 1);
  static const Context* adopted = nullptr;
  adopted = &request;
  run_threads(
      8,
      [](SharedWorld& w, int) {
        Context context(w.validator, "worker", ContextKind::kThread);
        for (int round = 0; round < 200; ++round) {
          const Adopt adopt(&context, *adopted);
          w.validator.acquire(context, locks[1], {}, 1);
          w.validator.release(context, locks[1], 1);
        }
      },
      world);
  EXPECT_EQ(world.reports.size(), 0U);
  EXPECT_EQ(world.validator.statistics().edges, 1U);
  world.validator.release(request, locks[0], 1);
}

std::vector<Report>& process_reports() {
  static std::vector<Report> reports;
  return reports;
}

void watch_process() {
  process().configure(
      {.sink = [](void*, const Report& report) { process_reports().push_back(report); }});
}

TEST(Process, AThreadThatEndsWithALockIsReportedWithItsName) {
  watch_process();
  process_reports().clear();
  const Segment created = process().publish(*this_context());
  std::thread thread([created] {
    thread_begins("leaver", created);
    acquire(locks[2], {}, 0x42);
  });
  thread.join();
  ASSERT_EQ(process_reports().size(), 1U);
  EXPECT_EQ(process_reports()[0].kind, ReportKind::kHeldAtExit);
  EXPECT_EQ(process_reports()[0].context.name, "leaver");
  EXPECT_THAT(process_reports()[0].taking.stack, ElementsAre(0x42));
}

// A frame of its own: ASan goes on guarding the temporaries of one that is never returned from, and
// finds them on the stack of what the C library still does for the thread.
[[gnu::noinline]] void take(Instance& lock, uintptr_t ip) {
  acquire(lock, {}, ip);
}

TEST(Process, AThreadThatExitsOrIsCancelledInItsMiddleIsReportedAsWell) {
  watch_process();
  process_reports().clear();
  using Body = void* (*)(void*);
  const Body exits = [](void*) -> void* {
    take(locks[5], 0x43);
    ::pthread_exit(nullptr);
  };
  const Body is_cancelled = [](void*) -> void* {
    take(locks[6], 0x44);
    ::pthread_cancel(::pthread_self());
    ::pthread_testcancel();
    return nullptr;
  };
  for (const Body body : {exits, is_cancelled}) {
    pthread_t thread{};
    ASSERT_EQ(::pthread_create(&thread, nullptr, body, nullptr), 0);
    ASSERT_EQ(::pthread_join(thread, nullptr), 0);
  }
  ASSERT_EQ(process_reports().size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(process_reports()[i].kind, ReportKind::kHeldAtExit);
    EXPECT_THAT(process_reports()[i].taking.stack, ElementsAre(0x43 + i));
  }
}

// exit() ends the thread's context before it calls these.
TEST(Process, LocksTakenWhenTheProgramHasEndedAreIgnored) {
  const auto ends = [] {
    watch_process();
    process_reports().clear();
    acquire(locks[0], {}, 1);
    release(locks[0], 1);
    std::atexit([] {
      acquire(locks[1], {}, 1);
      acquire(locks[0], {}, 1);
      acquire(locks[0], {}, 1);
      release(locks[3], 1);
      ::_exit(this_context() == nullptr && process_reports().empty() ? 0 : 1);
    });
    std::exit(2);
  };
  EXPECT_EXIT(ends(), testing::ExitedWithCode(0), "");
}

TEST(Process, EventsLeaveErrnoAlone) {
  watch_process();
  DynamicKey outer_key(process(), "errno outer");
  DynamicKey inner_key(process(), "errno inner");
  const Instance outer(outer_key);
  const Instance inner(inner_key);
  errno = EXDEV;
  acquire(outer, {}, 1);
  acquire(inner, {}, 1);
  release(inner, 1);
  release(outer, 1);
  EXPECT_EQ(errno, EXDEV);
}

std::atomic<int> handled{0};

void on_alarm(int) {
  Context* context = this_context();
  process().signal_enter(*context, SIGALRM);
  acquire(locks[7], {.mode = Mode::kRecursiveRead}, 1);
  release(locks[7], 1);
  process().signal_leave(*context, SIGALRM);
  handled.fetch_add(1, std::memory_order_relaxed);
}

// The handler interrupts the validator anywhere, its lock held as well.
TEST(Process, HandlersThatInterruptTheValidatorDoNoHarm) {
  watch_process();
  process_reports().clear();
  (void)this_context();
  struct sigaction action {};
  action.sa_handler = on_alarm;
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
  const itimerval every{.it_interval = {0, 200}, .it_value = {0, 200}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &every, nullptr), 0);
  for (int i = 0; i < 10'000'000 && handled.load(std::memory_order_relaxed) < 200; ++i) {
    DynamicKey key(process(), "interrupted");
    const Instance lock(key);
    acquire(locks[4], {}, 1);
    acquire(lock, {}, 1);
    release(lock, 1);
    release(locks[4], 1);
  }
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  EXPECT_GE(handled.load(), 200);
  EXPECT_EQ(this_context()->depth(), 0U);
  EXPECT_EQ(process_reports().size(), 0U);
}

TEST(Scale, LearningTakesNothingFromTheHeap) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "SKIPPED: a sanitizer's heap keeps no such count";
#endif
  World world;
  Context context(world.validator, "learner");
  std::vector<std::unique_ptr<ClassKey>> keys;
  for (int i = 0; i < 200; ++i) keys.push_back(std::make_unique<ClassKey>("heap"));
  const size_t before = ::mallinfo2().uordblks;
  const Instance first(*keys[0]);
  for (size_t i = 1; i < keys.size(); ++i) {
    const Instance second(*keys[i]);
    world.validator.acquire(context, first, {}, i);
    world.validator.acquire(context, second, {}, i);
    world.validator.release(context, second, i);
    world.validator.release(context, first, i);
  }
  EXPECT_EQ(::mallinfo2().uordblks, before);
  EXPECT_EQ(world.validator.statistics().edges, 199U);
}

TEST(Scale, AMillionLocksAndTenThousandClassesFitInTwoHundredBytesALock) {
  constexpr size_t kClasses = 10'000;
  constexpr size_t kLocks = 1'000'000;
  World world;
  Context context(world.validator, "many");
  std::vector<std::unique_ptr<ClassKey>> keys;
  for (size_t i = 0; i < kClasses; ++i) keys.push_back(std::make_unique<ClassKey>("many"));
  const auto memory = std::make_unique<std::byte[]>(kLocks * sizeof(Instance));
  auto* all = reinterpret_cast<Instance*>(memory.get());
  for (size_t i = 0; i < kLocks; ++i) new (all + i) Instance(*keys[i % kClasses]);
  // Each lock under its predecessor, and under one of seven classes before: 20,000 orders.
  for (size_t i = 7; i < kLocks; ++i) {
    if (i % kClasses < 7) continue;
    for (const size_t before : {size_t{1}, size_t{7}}) {
      world.validator.acquire(context, all[i - before], {}, 1);
      world.validator.acquire(context, all[i], {}, 2);
      world.validator.release(context, all[i], 2);
      world.validator.release(context, all[i - before], 1);
    }
  }
  const Statistics statistics = world.validator.statistics();
  const double bytes = static_cast<double>(statistics.memory_bytes) / kLocks + sizeof(Instance);
  std::printf("scale: %zu classes, %zu edges, %zu chains, %.1f MiB, %.1f bytes a live lock\n",
              statistics.classes, statistics.edges, statistics.chains,
              static_cast<double>(statistics.memory_bytes) / (1 << 20), bytes);
  EXPECT_EQ(statistics.classes, kClasses);
  EXPECT_GE(statistics.edges, 19'900U);
  EXPECT_FALSE(statistics.memory_full);
  EXPECT_LT(bytes, 200);
  EXPECT_EQ(world.reports.size(), 0U);
}

TEST(Scale, AThousandLocksMayBeHeldAtOnce) {
  World world;
  Context context(world.validator, "deep");
  std::vector<std::unique_ptr<ClassKey>> keys;
  std::vector<std::unique_ptr<Instance>> held;
  for (int i = 0; i < 1000; ++i) {
    keys.push_back(std::make_unique<ClassKey>("deep"));
    held.push_back(std::make_unique<Instance>(*keys.back()));
    world.validator.acquire(context, *held.back(), {}, 1);
  }
  EXPECT_EQ(context.depth(), 1000U);
  for (const auto& lock : held) world.validator.release(context, *lock, 1);
  EXPECT_EQ(context.depth(), 0U);
  EXPECT_EQ(world.reports.size(), 0U);
}

}  // namespace
}  // namespace netfs::lockdep
