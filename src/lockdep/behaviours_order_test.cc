// The hard behaviours: orders, modes, attempts, gates and who did what.  One test a sentence.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constinit ClassKey kA{"test.a"};
constinit ClassKey kB{"test.b"};
constinit ClassKey kC{"test.c"};
constinit ClassKey kD{"test.d"};
constinit ClassKey kG{"test.gate"};

struct Locks {
  Instance a{kA}, b{kB}, c{kC}, d{kD}, gate{kG};
};

// 1. The two halves never overlap in time.
TEST(Order, InversionOfTwoContextsThatNeverMetIsReportedWithAllFourStacks) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.take(l.a, {}, 0x11).take(l.b, {}, 0x12).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  t2.take(l.b, {}, 0x21).take(l.a, {}, 0x22).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  const Report& report = world.reports[0];
  ASSERT_EQ(report.chain.size(), 2U);
  EXPECT_THAT(report.chain[0].from.stack, ElementsAre(0x21));
  EXPECT_THAT(report.chain[0].to.stack, ElementsAre(0x22));
  EXPECT_THAT(report.chain[1].from.stack, ElementsAre(0x11));
  EXPECT_THAT(report.chain[1].to.stack, ElementsAre(0x12));
  EXPECT_EQ(report.chain[0].context.name, "t2");
  EXPECT_EQ(report.chain[1].context.name, "t1");
  ASSERT_EQ(report.held.size(), 1U);
  EXPECT_EQ(report.classes[report.held[0].class_index].name, "test.b");
}

TEST(Order, TheSameInversionIsReportedOnceHoweverOftenItHappens) {
  World world;
  Locks l;
  for (int i = 0; i < 64; ++i) {
    Actor t1(world, "t1");
    Actor t2(world, "t2");
    t1.take(l.a).take(l.b).drop_all();
    t2.take(l.b).take(l.a).drop_all();
  }
  EXPECT_EQ(world.reports.size(), 1U);
}

// 2.
TEST(Order, TwoLocksOfOneClassAreRecursionUnlessARuleOrdersThem) {
  World world;
  Instance nodes[2] = {Instance(kA), Instance(kA)};
  Actor t1(world, "t1");
  t1.take(nodes[0]).take(nodes[1]).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kRecursive), ElementsAre(Verdict::kLikely));
}

TEST(Order, ASubclassMakesTheSecondLockAnotherClass) {
  World world;
  Instance nodes[2] = {Instance(kA), Instance(kA)};
  Actor t1(world, "t1");
  t1.take(nodes[0]).take(nodes[1], {.subclass = 1}).drop_all();
  t1.take(nodes[1]).take(nodes[0], {.subclass = 1}).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
}

TEST(Order, TheAddressRuleAllowsRisingAddressesOnlyEvenInAKnownChain) {
  World world;
  ClassKey key("test.by_address", {.order = Order::kByAddress});
  Instance nodes[2] = {Instance(key), Instance(key)};
  Actor t1(world, "t1");
  t1.take(nodes[0]).take(nodes[1]).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  t1.take(nodes[1]).take(nodes[0]).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kRecursive), ElementsAre(Verdict::kLikely));
}

TEST(Order, AComparatorDecidesAndItsResultIsReported) {
  World world;
  ClassKey key("test.compared",
               {.order = Order::kCompare,
                .compare = [](const void* a, const void* b) { return a < b ? -1 : 7; }});
  Instance nodes[2] = {Instance(key), Instance(key)};
  Actor t1(world, "t1");
  t1.take(nodes[0]).take(nodes[1]).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  t1.take(nodes[1]).take(nodes[0]).drop_all();
  ASSERT_EQ(world.count(ReportKind::kRecursive), 1U);
  EXPECT_EQ(world.reports[0].compare_result, 7);
}

// 3.
TEST(Order, ReadersInvertSilentlyIfTheyAreRecursiveAndAreReportedIfNot) {
  for (const Mode mode : {Mode::kRecursiveRead, Mode::kRead}) {
    World world;
    Locks l;
    Actor t1(world, "t1");
    Actor t2(world, "t2");
    t1.take(l.a, {.mode = mode}).take(l.b).drop_all();
    t2.take(l.b).take(l.a, {.mode = mode}).drop_all();
    EXPECT_EQ(world.errors(), mode == Mode::kRead ? 1U : 0U);
  }
}

// 4.
TEST(Order, AKnownChainOfReadersDoesNotHideTheWriter) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.read_again(l.a).take(l.b).drop_all();
  t2.take(l.b).read_again(l.a).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  t2.take(l.b).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
}

// 5.
TEST(Order, AStrongPathIsFoundThoughAWeakOneReachesTheSameClassFirst) {
  World world;
  Locks l;
  Actor(world, "t1").take(l.a).read_again(l.b).drop_all();
  Actor(world, "t2").take(l.a).take(l.c).drop_all();
  Actor(world, "t3").take(l.c).take(l.b).drop_all();
  Actor(world, "t4").read(l.b).take(l.d).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  Actor(world, "t5").take(l.d).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
}

TEST(Order, AnEdgeGoesPastARecursiveReader) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.take(l.a).read_again(l.b).take(l.c).drop_all();
  t2.take(l.c).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
}

// 6.
TEST(Order, ATryAddsNoEdgeToItselfButHoldsLikeAnyOther) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a).try_take(l.b);
  EXPECT_FALSE(world.has_edge("test.a", "test.b"));
  t1.take(l.c).drop_all();
  EXPECT_TRUE(world.has_edge("test.a", "test.c"));
  EXPECT_TRUE(world.has_edge("test.b", "test.c"));
  Actor(world, "t2").take(l.b).take(l.a).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
}

TEST(Order, AFailedTryLeavesNoTrace) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a);
  world.validator.acquire(t1.context, l.b, {.attempt = Attempt::kTry}, 0x10);
  world.validator.acquire_failed(t1.context, l.b, 0x10);
  EXPECT_FALSE(t1.context.holds(kB));
  t1.take(l.c).drop_all();
  EXPECT_FALSE(world.has_edge("test.b", "test.c"));
  EXPECT_EQ(world.validator.edges().size(), 1U);
  EXPECT_THAT(world.reports, IsEmpty());
}

TEST(Order, ATimedLockThatWasNotGotIsNotHeldAndItsCirclesAreOrderOnly) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a);
  world.validator.acquire(t1.context, l.b, {.attempt = Attempt::kTimed}, 0x10);
  world.validator.acquire_failed(t1.context, l.b, 0x10);
  EXPECT_EQ(t1.context.depth(), 1U);
  t1.take(l.c).drop_all();
  EXPECT_FALSE(world.has_edge("test.b", "test.c"));
  Actor(world, "t2").take(l.b).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
  EXPECT_THAT(world.reports[0].reason, HasSubstr("timed"));
  // The same without a limit is a bug.
  Actor(world, "t3").take(l.a).take(l.b).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
}

// 7. std::scoped_lock(a, b): one is locked, the other tried.
TEST(Order, LockAndTryInBothOrdersIsSilentAndTwoLocksAreNot) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.take(l.a).try_take(l.b).drop_all();
  t2.take(l.b).try_take(l.a).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  t1.take(l.a).take(l.b).drop_all();
  t2.take(l.b).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
}

// 8.
TEST(Order, AConditionWaitTakesItsMutexAgainUnderWhatElseIsHeld) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a);
  world.validator.wait_begins(t1.context, l.a, 0x77);
  world.validator.wait_ends(t1.context, l.a, 0x77);
  EXPECT_EQ(t1.context.depth(), 1U);
  EXPECT_FALSE(world.has_edge("test.b", "test.a"));
  t1.take(l.b);
  world.validator.wait_begins(t1.context, l.a, 0x77);
  EXPECT_TRUE(world.has_edge("test.b", "test.a"));
  EXPECT_FALSE(t1.context.holds(kA));
  world.validator.wait_ends(t1.context, l.a, 0x77);
  EXPECT_TRUE(t1.context.holds(kA));
  ASSERT_EQ(world.count(ReportKind::kCircular), 1U);
  EXPECT_THAT(world.reports[0].chain[0].to.stack, ElementsAre(0x77));
  t1.drop_all();
  EXPECT_EQ(world.count(ReportKind::kBadUnlock), 0U);
}

// 9.
TEST(Order, LocksMayBeReleasedInAnyOrder) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a).take(l.b).take(l.c).drop(l.a).take(l.d).drop_all();
  EXPECT_TRUE(world.has_edge("test.b", "test.d"));
  EXPECT_TRUE(world.has_edge("test.c", "test.d"));
  EXPECT_FALSE(world.has_edge("test.a", "test.d"));
  EXPECT_THAT(world.reports, IsEmpty());
}

// 12. Hand over hand.
TEST(Order, HandOverHandNeedsTwoContextsForItsTwoParts) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  const auto hand_over_hand = [&l](Actor& actor) {
    actor.take(l.a).take(l.b).drop(l.a).take(l.c).drop_all();
  };
  hand_over_hand(t1);
  t2.take(l.c).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
  Actor t3(world, "t3");
  hand_over_hand(t3);
  EXPECT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
}

TEST(Order, HandOverHandByTwoContextsBeforeTheCircleClosesIsLikelyAtOnce) {
  World world;
  Locks l;
  for (const char* name : {"t1", "t3"}) {
    Actor(world, name).take(l.a).take(l.b).drop(l.a).take(l.c).drop_all();
  }
  Actor(world, "t2").take(l.c).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
}

TEST(Order, ThreeNestedLocksNeedOneContextOnly) {
  World world;
  Locks l;
  Actor(world, "t1").take(l.a).take(l.b).take(l.c).drop_all();
  Actor(world, "t2").take(l.c).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
}

}  // namespace
}  // namespace netfs::lockdep
