// The hard behaviours, 16: fork.  The contexts are driven by the one thread of the test, so that
// the child has nothing to wait for; the forks are real.

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <new>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constinit ClassKey kA{"test.a"};
constinit ClassKey kB{"test.b"};
constinit ClassKey kC{"test.c"};
constinit ClassKey kMap{"test.map", kMapRules};

struct Locks {
  Instance a{kA}, b{kB}, c{kC};
  Map map{kMap};
};

struct Thread : Context {
  Thread(World& world, const char* name, uint64_t id)
      : Context(world.validator, name, ContextKind::kThread, id) {}
};

// Forks as the thread `forks`; `body` runs in the child, and its failed expectations are ours.
void in_child(World& world, Context& forks, const std::function<void()>& body) {
  std::fflush(nullptr);
  world.validator.before_fork();
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    ::alarm(60);  // whatever goes wrong, it ends
    world.validator.after_fork_in_child(&forks, 99);
    body();
    std::fflush(nullptr);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  world.validator.after_fork_in_parent();
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "in the child, status " << status;
}

TEST(Fork, ALockOfAThreadThatIsNotThereIsReportedOnceWhenTheChildWaitsForIt) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Thread forks(world, "forks", 7);
  Thread other(world, "other", 8);
  v.acquire(forks, l.a, {}, 0x10);
  v.acquire(other, l.c, {}, 0x30);
  v.acquire(other, l.b, {}, 0x20);
  in_child(world, forks, [&] {
    v.acquire(forks, l.b, {}, 0x11);
    EXPECT_THAT(world.reports, IsEmpty()) << "it may be free";
    v.contended(forks, l.b);
    v.contended(forks, l.b);
    ASSERT_THAT(world.verdicts(ReportKind::kOrphaned), ElementsAre(Verdict::kProved));
    const Report& report = world.reports[0];
    EXPECT_EQ(report.context.name, "forks");
    EXPECT_EQ(report.context.id, 99U) << "threads of the child have other numbers";
    ASSERT_TRUE(report.holder.has_value());
    EXPECT_EQ(report.holder->name, "other");
    EXPECT_EQ(report.holder->id, 8U);
    EXPECT_THAT(report.taking.stack, ElementsAre(0x11));
    EXPECT_THAT(report.holding->stack, ElementsAre(0x20));
    EXPECT_EQ(report.holding->address, reinterpret_cast<uintptr_t>(&l.b));
    EXPECT_EQ(report.held.size(), 2U) << "A, and B as it is being taken";
  });
  EXPECT_THAT(world.reports, IsEmpty());
  v.contended(forks, l.b);  // no matter in the parent: the other thread is there
  v.acquired(forks, l.b);
  EXPECT_THAT(world.reports, IsEmpty());
  v.release(other, l.b, 1);
  v.release(other, l.c, 1);
  v.release(forks, l.a, 1);
}

TEST(Fork, TheChildKeepsTheGraphAndWhatTheForkingThreadHolds) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Thread forks(world, "forks", 7);
  Actor(world, "t1").take(l.b).take(l.a).drop_all();
  v.acquire(forks, l.a, {}, 1);
  in_child(world, forks, [&] {
    EXPECT_TRUE(world.has_edge("test.b", "test.a"));
    EXPECT_EQ(v.statistics().contexts, 1U);
    EXPECT_TRUE(v.assert_held(forks, l.a, 1));
    v.acquire(forks, l.b, {}, 1);  // the other half, after the fork
    EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
    v.release(forks, l.b, 1);
    v.release(forks, l.a, 1);
    EXPECT_EQ(world.reports.size(), 1U);
  });
  v.release(forks, l.a, 1);
}

TEST(Fork, WhoNeverWaitsForAnOrphanedLockHearsNothingOfIt) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Thread forks(world, "forks", 7);
  Thread other(world, "other", 8);
  v.acquire(other, l.b, {}, 1);
  alignas(Instance) char memory[sizeof(Instance)];
  auto* lock = new (memory) Instance(kC);
  v.acquire(other, *lock, {}, 1);
  v.acquire(forks, l.a, {}, 1);
  in_child(world, forks, [&] {
    v.release(forks, l.a, 1);
    v.acquire(forks, l.b, {.attempt = Attempt::kTry}, 1);
    v.acquire_failed(forks, l.b, 1);
    // Made anew, it is another lock, which a thread of the child may hold while we wait.
    v.destroy(forks, *lock, 1);
    lock = new (memory) Instance(kC);
    v.acquire(forks, *lock, {}, 1);
    v.contended(forks, *lock);
    v.acquired(forks, *lock);
    v.release(forks, *lock, 1);
    EXPECT_THAT(world.reports, IsEmpty());
  });
  v.release(other, *lock, 1);
  v.release(other, l.b, 1);
  v.release(forks, l.a, 1);
}

TEST(Fork, ALockThatAThreadOfTheChildHoldsIsNotOrphaned) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Thread forks(world, "forks", 7);
  Thread other(world, "other", 8);
  v.acquire(other, l.b, {}, 1);
  in_child(world, forks, [&] {
    Thread made(world, "made", 9);  // pthread_mutex_init, which nobody told us of
    v.acquire(made, l.b, {}, 1);
    v.acquire(forks, l.b, {}, 1);
    v.contended(forks, l.b);
    EXPECT_THAT(world.reports, IsEmpty());
    v.acquired(forks, l.b);
    v.release(forks, l.b, 1);
    v.release(made, l.b, 1);
  });
  v.release(other, l.b, 1);
}

TEST(Fork, OnlyWhatAnOrphanKeepsOutIsReported) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Thread forks(world, "forks", 7);
  Thread reads(world, "reads", 8);
  Thread waits(world, "waits", 9);
  v.acquire(forks, l.a, {}, 1);
  v.acquire(reads, l.b, {.mode = Mode::kRead}, 1);
  v.acquire(waits, l.a, {}, 1);
  v.contended(waits, l.a);  // it waits for the thread that forks, and holds nothing
  in_child(world, forks, [&] {
    v.release(forks, l.a, 1);
    v.acquire(forks, l.a, {}, 1);
    v.contended(forks, l.a);
    v.acquired(forks, l.a);
    v.acquire(forks, l.b, {.mode = Mode::kRead}, 1);
    v.contended(forks, l.b);
    v.acquired(forks, l.b);
    v.release(forks, l.b, 1);
    EXPECT_THAT(world.reports, IsEmpty());
    v.acquire(forks, l.b, {}, 1);
    v.contended(forks, l.b);
    EXPECT_EQ(world.count(ReportKind::kOrphaned), 1U);
  });
  v.acquired(waits, l.a);
  v.release(waits, l.a, 1);
  v.release(reads, l.b, 1);
  v.release(forks, l.a, 1);
}

TEST(Fork, WhoJoinsOrDrainsWhatIsNotThereIsReported) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Thread forks(world, "forks", 7);
  Thread other(world, "other", 8);
  v.acquire(other, l.map, {.mode = Mode::kRead}, 1);
  in_child(world, forks, [&] {
    v.sync(forks, l.map, {}, 1);
    ASSERT_THAT(world.verdicts(ReportKind::kOrphaned), ElementsAre(Verdict::kProved));
    EXPECT_TRUE(world.reports[0].taking.sync);
  });
  v.release(other, l.map, 1);
}

TEST(Fork, RequestsLiveOnInTheChildAndMayEndThere) {
  World world;
  Locks l;
  Validator& v = world.validator;
  std::optional<Context> first(std::in_place, v, "first");
  Thread other(world, "other", 8);
  std::optional<Context> second(std::in_place, v, "second");
  Thread forks(world, "forks", 7);
  v.acquire(*first, l.map, {.mode = Mode::kRead}, 1);
  in_child(world, forks, [&] {
    {
      const Adopt adopt(&forks, *first);
      EXPECT_TRUE(forks.holds(kMap));
    }
    v.sync(forks, l.map, {}, 1);
    v.release(*first, l.map, 1);
    first.reset();
    second.reset();
    const Context third(v, "third");
    EXPECT_EQ(v.statistics().contexts, 2U);
    EXPECT_EQ(v.scan_waits(), 0U);
    EXPECT_THAT(world.reports, IsEmpty());
  });
  v.release(*first, l.map, 1);
}

TEST(Fork, WhatAHandlerFoundBeforeIsShownByTheParentAlone) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Thread forks(world, "forks", 7);
  Thread other(world, "other", 8);
  v.signal_enter(other, 10);
  v.release(other, l.a, 1);
  in_child(world, forks, [&] {
    v.deliver();
    EXPECT_THAT(world.reports, IsEmpty());
  });
  v.signal_leave(other, 10);
  v.deliver();
  EXPECT_EQ(world.count(ReportKind::kBadUnlock), 1U);
}

}  // namespace
}  // namespace netfs::lockdep
