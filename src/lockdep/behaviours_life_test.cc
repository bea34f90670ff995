// The hard behaviours: recursive locks, locks that go away held, contexts that end, claims.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <new>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constinit ClassKey kA{"test.a"};
constinit ClassKey kB{"test.b"};
constinit ClassKey kC{"test.c"};
constinit ClassKey kNest{"test.nest"};
constinit ClassKey kMap{"test.map", kMapRules};

struct Locks {
  Instance a{kA}, b{kB}, c{kC}, nest{kNest};
};

// 13.
TEST(Life, ARecursiveMutexMayBeTakenAgainAndIsHeldUntilItsLastRelease) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  const How again{.reentry = Reentry::kAllowed};
  t1.take(l.a, again).take(l.b).take(l.a, again);
  EXPECT_EQ(t1.context.depth(), 2U);
  t1.drop(l.a);
  EXPECT_TRUE(t1.context.holds(kA));
  t1.drop(l.b).drop(l.a);
  EXPECT_EQ(t1.context.depth(), 0U);
  EXPECT_THAT(world.reports, IsEmpty());
  EXPECT_FALSE(world.has_edge("test.b", "test.a"));
}

TEST(Life, AnOrdinaryMutexTakenAgainIsProvedBeforeItHangs) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a).take(l.a);
  ASSERT_THAT(world.verdicts(ReportKind::kRecursive), ElementsAre(Verdict::kProved));
  EXPECT_EQ(world.reports[0].holding->address, world.reports[0].taking.address);
}

TEST(Life, ALikelyRecursionIsReportedAgainWhenItIsProved) {
  World world;
  Locks l;
  Instance other(kA);
  Actor t1(world, "t1");
  t1.take(l.a).take(other).drop_all();
  t1.take(l.a).take(l.a).drop_all();
  t1.take(l.a).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kRecursive),
              ElementsAre(Verdict::kLikely, Verdict::kProved));
}

TEST(Life, NestedLocksNeedTheirNestLock) {
  World world;
  Locks l;
  Instance others[3] = {Instance(kA), Instance(kA), Instance(kA)};
  Actor t1(world, "t1");
  t1.take(l.nest);
  for (const Instance& lock : others) t1.take(lock, {.nest = &l.nest});
  t1.drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  t1.take(l.a, {.nest = &l.nest});
  EXPECT_THAT(world.verdicts(ReportKind::kNestedNotTaken), ElementsAre(Verdict::kProved));
}

// 14.
TEST(Life, MemoryThatIsUsedAgainIsAnotherLockWithoutOldOrders) {
  World world;
  Locks l;
  alignas(Instance) char memory[sizeof(Instance)];
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  auto* lock = new (memory) Instance(kB);
  t1.take(l.a).take(*lock).drop_all();
  world.validator.memory_freed(t1.context, memory, memory + sizeof memory, 1);
  lock = new (memory) Instance(kC);
  t2.take(*lock).take(l.a).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  EXPECT_TRUE(world.has_edge("test.a", "test.b"));
  EXPECT_FALSE(world.has_edge("test.a", "test.c"));
}

TEST(Life, FreeingMemoryWithAHeldLockIsReportedOnceWithTheStackOfTheFree) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  world.validator.acquire(t1.context, l.a, {}, 0x10);
  world.validator.memory_freed(t1.context, &l, &l + 1, 0x99);
  world.validator.memory_freed(t1.context, &l, &l + 1, 0x99);
  ASSERT_THAT(world.verdicts(ReportKind::kHeldLockFreed), ElementsAre(Verdict::kProved));
  EXPECT_THAT(world.reports[0].stack, ElementsAre(0x99));
  EXPECT_THAT(world.reports[0].taking.stack, ElementsAre(0x10));
  EXPECT_EQ(world.reports[0].freed_from, reinterpret_cast<uintptr_t>(&l));
  EXPECT_EQ(world.reports[0].freed_to, reinterpret_cast<uintptr_t>(&l + 1));
  EXPECT_EQ(t1.context.depth(), 0U);
}

TEST(Life, DestroyingOrRemakingAHeldLockIsReported) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  world.validator.acquire(t1.context, l.a, {}, 1);
  world.validator.destroy(t1.context, l.a, 2);
  world.validator.acquire(t1.context, l.b, {}, 1);
  world.validator.init(t1.context, l.b, 2);
  EXPECT_EQ(world.count(ReportKind::kHeldLockFreed), 2U);
  world.validator.destroy(t1.context, l.c, 2);
  EXPECT_EQ(world.reports.size(), 2U);
}

TEST(Life, ReleasingWhatIsNotHeldIsABadUnlockBalance) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t2.take(l.a);
  t1.drop(l.a);
  t1.drop(l.b);
  EXPECT_THAT(world.verdicts(ReportKind::kBadUnlock),
              ElementsAre(Verdict::kProved, Verdict::kProved));
  EXPECT_EQ(t2.context.depth(), 1U);
}

// 17.
TEST(Life, AContextThatEndsWithLocksIsReportedWithTheirAcquisition) {
  World world;
  Locks l;
  {
    Context ends(world.validator, "ends", ContextKind::kThread, 7);
    world.validator.acquire(ends, l.a, {}, 0x55);
  }
  ASSERT_THAT(world.verdicts(ReportKind::kHeldAtExit), ElementsAre(Verdict::kProved));
  EXPECT_THAT(world.reports[0].taking.stack, ElementsAre(0x55));
  EXPECT_EQ(world.reports[0].context.id, 7U);
  EXPECT_TRUE(world.reports[0].context.is_thread);
}

TEST(Life, AContextThatEndsInAHandlerIsReportedForItsLocksOnly) {
  World world;
  Locks l;
  {
    Context nothing(world.validator, "nothing", ContextKind::kThread, 7);
    world.validator.signal_enter(nothing, 10);
  }
  EXPECT_THAT(world.reports, IsEmpty());
  {
    Context below(world.validator, "below", ContextKind::kThread, 8);
    world.validator.acquire(below, l.a, {}, 0x55);
    world.validator.signal_enter(below, 10);
  }
  world.validator.deliver();  // what is found in a handler waits for an event outside of one
  ASSERT_THAT(world.verdicts(ReportKind::kHeldAtExit), ElementsAre(Verdict::kProved));
  const Report& report = world.reports[0];
  EXPECT_EQ(report.classes[report.taking.class_index].name, "test.a");
  EXPECT_THAT(report.taking.stack, ElementsAre(0x55));
}

TEST(Life, AClaimIsReportedOnlyWhenItIsNotTrue) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Validator& v = world.validator;
  t1.take(l.a);
  EXPECT_TRUE(v.assert_held(t1.context, l.a, 1));
  EXPECT_TRUE(v.assert_not_held(t1.context, l.b, 1));
  EXPECT_THAT(world.reports, IsEmpty());
  EXPECT_FALSE(v.assert_held(t1.context, l.b, 2));
  EXPECT_FALSE(v.assert_not_held(t1.context, l.a, 3));
  EXPECT_EQ(world.count(ReportKind::kAssertion), 2U);
}

TEST(Life, APinnedLockMayNotBeReleasedAndMayAfterItsUnpin) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Validator& v = world.validator;
  t1.take(l.a);
  const Pin pin = v.pin(t1.context, l.a, 1);
  v.unpin(t1.context, pin, 1);
  t1.drop(l.a);
  EXPECT_THAT(world.reports, IsEmpty());
  t1.take(l.a);
  (void)v.pin(t1.context, l.a, 1);
  t1.drop(l.a);
  EXPECT_EQ(world.count(ReportKind::kAssertion), 1U);
}

TEST(Life, WaitingOnAMapIsAnOrderAndHoldsNothing) {
  World world;
  Locks l;
  Map work(kMap);
  Actor worker(world, "worker");
  Actor t1(world, "t1");
  worker.take(work).take(l.a).drop_all();  // the work takes A
  t1.take(l.a);
  world.validator.sync(t1.context, work, {}, 5);  // and is waited for under A
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  EXPECT_TRUE(world.reports[0].taking.sync);
  EXPECT_EQ(t1.context.depth(), 1U);
}

TEST(Life, AWriterThatBecomesAReaderHoldsAsAReader) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a);
  world.validator.downgrade(t1.context, l.a, Mode::kRecursiveRead, 1);
  t1.take(l.b).drop_all();
  EXPECT_EQ(world.validator.edges().at(0).kinds, kSN);
}

TEST(Life, AKeyThatGoesTakesItsOrdersWithItAndItsNumberIsNotMistaken) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  for (int i = 0; i < 300; ++i) {  // more than are kept in quarantine
    const auto key = std::make_unique<DynamicKey>(world.validator, "test.dynamic");
    const Instance lock(*key);
    if (i % 2 == 0) {
      t1.take(l.a).take(lock).drop_all();
    } else {
      t2.take(lock).take(l.a).drop_all();
    }
    EXPECT_EQ(world.validator.statistics().edges, 1U);
  }
  EXPECT_THAT(world.reports, IsEmpty());
  EXPECT_EQ(world.validator.statistics().edges, 0U);
  EXPECT_EQ(world.validator.statistics().classes, 1U);
}

TEST(Life, TwoKeysOfOneNameAreTwoVersions) {
  World world;
  ClassKey again("test.a");
  Instance first(kA);
  Instance second(again);
  Actor(world, "t1").take(first).take(second).drop_all();
  std::vector<ClassInfo> classes = world.validator.classes();
  ASSERT_EQ(classes.size(), 2U);
  EXPECT_EQ(classes[0].version, 1U);
  EXPECT_EQ(classes[1].version, 2U);
}

TEST(Life, AClassThatIsNotValidatedIsOnlyHeld) {
  World world;
  ClassKey key("test.unchecked", {.validation = Validation::kNone});
  Instance x(key);
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.take(l.a).take(x).take(l.b).drop_all();
  t2.take(x).take(l.a).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  EXPECT_EQ(world.validator.statistics().edges, 1U);
}

TEST(Life, AnAdoptedContextCountsAsHeldUntilTheAdoptionEnds) {
  World world;
  Locks l;
  Context request(world.validator, "request");
  world.validator.acquire(request, l.a, {}, 1);
  Actor t1(world, "t1");
  {
    const Adopt adopt(&t1.context, request);
    EXPECT_TRUE(t1.context.holds(kA));
    t1.take(l.b).drop_all();
    Context inner(world.validator, "inner");
    const Adopt hidden(&t1.context, inner, Adopt::Outer::kHidden);
    EXPECT_FALSE(t1.context.holds(kA));
    t1.take(l.c).drop_all();
  }
  EXPECT_FALSE(t1.context.holds(kA));
  EXPECT_TRUE(world.has_edge("test.a", "test.b"));
  EXPECT_FALSE(world.has_edge("test.a", "test.c"));
  world.validator.release(request, l.a, 1);
}

TEST(Life, ResetForgetsAllThatWasLearnt) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  for (int i = 0; i < 3; ++i) {
    t1.take(l.a).take(l.b).drop_all();
    t2.take(l.b).take(l.a).drop_all();
    EXPECT_EQ(world.reports.size(), static_cast<size_t>(i + 1));
    world.validator.reset();
    EXPECT_EQ(world.validator.statistics().classes, 0U);
  }
}

TEST(Life, AtItsMemoryCapItLearnsNoMoreAndGoesOn) {
  World world;
  world.validator.configure({.memory_bytes_max = size_t{512} * 1024});
  Actor t1(world, "t1");
  std::vector<std::unique_ptr<ClassKey>> keys;
  std::vector<std::unique_ptr<Instance>> locks;
  for (int i = 0; i < 5000; ++i) {
    keys.push_back(std::make_unique<ClassKey>("test.many"));
    locks.push_back(std::make_unique<Instance>(*keys.back()));
    t1.take(*locks.back());
    if (i % 8 == 7) t1.drop_all();
  }
  t1.drop_all();
  const Statistics statistics = world.validator.statistics();
  EXPECT_TRUE(statistics.memory_full);
  EXPECT_LE(statistics.memory_bytes, size_t{1024} * 1024);
  EXPECT_EQ(t1.context.depth(), 0U);
  t1.take(*locks[0]).take(*locks[0]).drop_all();  // what is known is still checked
  EXPECT_EQ(world.validator.statistics().classes, statistics.classes);
}

}  // namespace
}  // namespace netfs::lockdep
