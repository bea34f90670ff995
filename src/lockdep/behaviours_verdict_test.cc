// The hard behaviours: PROVED, LIKELY or ORDER-ONLY, and how a verdict rises.

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
constinit ClassKey kG{"test.gate"};
constinit ClassKey kMap{"test.map", kMapRules};

struct Locks {
  Instance a{kA}, b{kB}, c{kC}, gate{kG};
};

// 10.
TEST(Verdict, AGateOnBothSidesMakesItOrderOnlyAndIsNamed) {
  World world;
  Locks l;
  Actor(world, "t1").take(l.gate).take(l.a).take(l.b).drop_all();
  Actor(world, "t2").take(l.gate).take(l.b).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
  EXPECT_THAT(world.reports[0].reason, HasSubstr("gate `test.gate`"));
  ASSERT_EQ(world.reports[0].chain[0].gates.size(), 1U);
}

TEST(Verdict, OneUngatedOccurrenceOfEitherSideMakesItLikelyWithBothStacks) {
  for (const bool first_side : {true, false}) {
    World world;
    Locks l;
    Actor t1(world, "t1");
    Actor t2(world, "t2");
    t1.take(l.gate).take(l.a).take(l.b).drop_all();
    t2.take(l.gate).take(l.b).take(l.a).drop_all();
    if (first_side) {
      t1.take(l.a, {}, 0x31).take(l.b, {}, 0x32).drop_all();
    } else {
      t2.take(l.b, {}, 0x31).take(l.a, {}, 0x32).drop_all();
    }
    ASSERT_THAT(world.verdicts(ReportKind::kCircular),
                ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
    EXPECT_THAT(world.reports[1].chain[0].from.stack, ElementsAre(0x31));
    EXPECT_THAT(world.reports[1].chain[0].to.stack, ElementsAre(0x32));
    EXPECT_EQ(world.reports[1].chain[1].to.stack.size(), 1U);
  }
}

TEST(Verdict, AnotherGateOfTheSameClassIsNoGateThoughTheChainIsKnown) {
  World world;
  Locks l;
  Instance other_gate(kG);
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.take(l.gate).take(l.a).take(l.b).drop_all();
  t2.take(l.gate).take(l.b).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
  t2.take(other_gate).take(l.b).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
}

TEST(Verdict, AGateThatBothOnlyReadIsNoGate) {
  World world;
  Locks l;
  Actor(world, "t1").read(l.gate).take(l.a).take(l.b).drop_all();
  Actor(world, "t2").read(l.gate).take(l.b).take(l.a).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
}

TEST(Verdict, WhatARequestHoldsIsNoGateBetweenThreadsThatBothWorkForIt) {
  World world;
  Locks l;
  Context request(world.validator, "request");
  world.validator.acquire(request, l.gate, {}, 1);
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  {
    const Adopt adopt1(&t1.context, request);
    const Adopt adopt2(&t2.context, request);
    t1.take(l.a).take(l.b).drop_all();
    t2.take(l.b).take(l.a).drop_all();
  }
  EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  world.validator.release(request, l.gate, 1);
}

TEST(Verdict, AnotherWayAroundIsFoundWhenTheShortestCircleIsGated) {
  World world;
  Locks l;
  Actor(world, "t1").take(l.gate).take(l.a).take(l.b).drop_all();
  Actor(world, "t3").take(l.a).take(l.c).drop_all();
  Actor(world, "t4").take(l.c).take(l.b).drop_all();
  Actor(world, "t2").take(l.gate).take(l.b).take(l.a).drop_all();
  // B -> A under the gate; A -> B under it as well, but A -> C -> B is not.
  EXPECT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
}

// 11.
TEST(Verdict, OneContextAloneIsOrderOnlyUntilASecondDoesTheSame) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a).take(l.b).drop_all();
  t1.take(l.b).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
  EXPECT_THAT(world.reports[0].reason, HasSubstr("`t1`"));
  Actor(world, "t2").take(l.a).take(l.b).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
}

TEST(Verdict, ThreadsOrderedByJoinAndCreationAreOrderOnlyAndConcurrentOnesLikely) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Actor main(world, "main");
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  v.observe(t1.context, v.publish(main.context));
  t1.take(l.a).take(l.b).drop_all();
  v.observe(main.context, v.publish(t1.context));  // joined
  v.observe(t2.context, v.publish(main.context));  // then created
  t2.take(l.b).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
  EXPECT_THAT(world.reports[0].reason, HasSubstr("never concurrent"));
  Actor t3(world, "t3");
  v.observe(t3.context, v.publish(main.context));
  t3.take(l.a).take(l.b).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
}

TEST(Verdict, WhatTheCreatorDidBeforeIsOrderedAndWhatItDoesAfterIsNot) {
  World world;
  Locks l;
  Validator& v = world.validator;
  Actor main(world, "main");
  Actor t1(world, "t1");
  main.take(l.a).take(l.b).drop_all();
  v.observe(t1.context, v.publish(main.context));
  t1.take(l.b).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
  main.take(l.a).take(l.b).drop_all();
  EXPECT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
}

TEST(Verdict, ACircularWaitIsProvedWhenTheLastOfItIsAboutToWait) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.take(l.a);
  t2.take(l.b);
  t1.take(l.b);
  world.validator.contended(t1.context, l.b);
  t2.take(l.a);
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kProved));
  ASSERT_EQ(world.reports[0].waiting.size(), 2U);
  EXPECT_EQ(world.reports[0].waiting[0].name, "t2");
  EXPECT_EQ(world.reports[0].waiting[1].name, "t1");
  world.validator.acquired(t1.context, l.b);
}

TEST(Verdict, ACircularWaitOfKnownChainsIsFoundByTheScanAndReportedOnce) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  Actor t3(world, "t3");
  t1.take(l.a).take(l.b).drop_all();
  t2.take(l.b).take(l.c).drop_all();
  t3.take(l.c).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  EXPECT_EQ(world.validator.scan_waits(), 0U);
  t1.take(l.a);
  t2.take(l.b);
  t3.take(l.c);
  t1.take(l.b);
  world.validator.contended(t1.context, l.b);
  t2.take(l.c);
  world.validator.contended(t2.context, l.c);
  EXPECT_EQ(world.validator.scan_waits(), 0U);
  t3.take(l.a);
  world.validator.contended(t3.context, l.a);
  EXPECT_EQ(world.validator.scan_waits(), 3U);
  EXPECT_EQ(world.validator.scan_waits(), 3U);
  ASSERT_THAT(world.verdicts(ReportKind::kCircular),
              ElementsAre(Verdict::kLikely, Verdict::kProved));
  const Report& report = world.reports[1];
  ASSERT_EQ(report.chain.size(), 3U);
  ASSERT_EQ(report.waiting.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(report.chain[i].to.class_index, report.chain[(i + 1) % 3].from.class_index);
    EXPECT_EQ(report.chain[i].context.name, report.waiting[i].name);
  }
  for (const auto& [actor, lock] : {std::pair{&t1, &l.b}, {&t2, &l.c}, {&t3, &l.a}}) {
    world.validator.acquired(actor->context, *lock);
  }
  EXPECT_EQ(world.validator.scan_waits(), 0U);
}

TEST(Verdict, ACircularWaitThroughARequestThatAThreadWorksForIsProved) {
  World world;
  Locks l;
  Map answer(kMap);
  Context request(world.validator, "request");
  world.validator.acquire(request, answer, {.mode = Mode::kRead}, 0x77);
  Actor works(world, "works");
  Actor asks(world, "asks");
  {
    const Adopt adopt(&works.context, request);
    works.take(l.a).drop_all();  // the order is known before they meet
  }
  asks.take(l.a).take(answer);  // waits for the answer with the lock held
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  world.validator.contended(asks.context, answer);
  {
    const Adopt adopt(&works.context, request);
    EXPECT_EQ(world.validator.scan_waits(), 0U);
    works.take(l.a);
    world.validator.contended(works.context, l.a);
    EXPECT_EQ(world.validator.scan_waits(), 2U);
    ASSERT_THAT(world.verdicts(ReportKind::kCircular),
                ElementsAre(Verdict::kLikely, Verdict::kProved));
    const Report& report = world.reports[1];
    ASSERT_EQ(report.chain.size(), 2U);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(report.chain[i].to.class_index, report.chain[1 - i].from.class_index);
      EXPECT_EQ(report.chain[i].to.address, report.chain[1 - i].from.address);
      EXPECT_EQ(report.chain[i].context.name, report.waiting[i].name);
    }
    world.validator.acquired(works.context, l.a);
    EXPECT_EQ(world.validator.scan_waits(), 0U);
    works.drop_all();
  }
  EXPECT_EQ(world.validator.scan_waits(), 0U) << "nobody works for it who waits";
  world.validator.acquired(asks.context, answer);
  asks.drop_all();
  world.validator.release(request, answer, 1);
}

TEST(Verdict, ACircularWaitThroughARequestIsProvedWhenItsWorkerIsAboutToWait) {
  World world;
  Locks l;
  Map answer(kMap);
  Context request(world.validator, "request");
  world.validator.acquire(request, answer, {.mode = Mode::kRead}, 0x77);
  Actor works(world, "works");
  Actor asks(world, "asks");
  asks.take(l.a).take(answer);
  world.validator.contended(asks.context, answer);
  {
    const Adopt adopt(&works.context, request);
    works.take(l.a);
    EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kProved));
    works.drop_all();
  }
  world.validator.acquired(asks.context, answer);
  asks.drop_all();
  world.validator.release(request, answer, 1);
}

TEST(Verdict, ACircularWaitThatEndsByItselfIsNotProved) {
  const How timed{.attempt = Attempt::kTimed};
  for (const bool last_is_timed : {true, false}) {
    World world;
    Locks l;
    Actor t1(world, "t1");
    Actor t2(world, "t2");
    t1.take(l.a);
    t2.take(l.b);
    t1.take(l.b, last_is_timed ? How() : timed);
    world.validator.contended(t1.context, l.b);
    t2.take(l.a, last_is_timed ? timed : How());
    EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
    world.validator.contended(t2.context, l.a);
    EXPECT_EQ(world.validator.scan_waits(), 0U);
    world.validator.acquired(t1.context, l.b);
    world.validator.acquired(t2.context, l.a);
  }
}

TEST(Verdict, WhatAHandlerHoldsThatInterruptsAWaitIsGivenUpAndClosesNoCircle) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t2.take(l.b);
  t1.take(l.b);
  world.validator.contended(t1.context, l.b);
  world.validator.signal_enter(t1.context, 10);
  t1.take(l.c);
  t2.take(l.c);
  world.validator.contended(t2.context, l.c);
  EXPECT_EQ(world.validator.scan_waits(), 0U);
  t1.drop(l.c);
  world.validator.signal_leave(t1.context, 10);
  world.validator.acquired(t2.context, l.c);
  t2.drop_all();
  world.validator.acquired(t1.context, l.b);
  EXPECT_EQ(world.count(ReportKind::kCircular), 0U);
}

TEST(Verdict, TwoThatWaitForTheSameLockAreNoCircle) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  Actor t3(world, "t3");
  t3.take(l.a);
  for (Actor* actor : {&t1, &t2}) {
    actor->take(l.a);
    world.validator.contended(actor->context, l.a);
  }
  EXPECT_EQ(world.validator.scan_waits(), 0U);
  for (Actor* actor : {&t1, &t2}) world.validator.acquired(actor->context, l.a);
}

TEST(Verdict, ExactMatchingWantsTheVeryLocksOnBothSides) {
  for (const auto match : {Validator::Match::kByClass, Validator::Match::kExact}) {
    World world(match);
    Locks l;
    Locks others;
    Actor t1(world, "t1");
    Actor t2(world, "t2");
    t1.take(l.a).take(l.b).drop_all();
    t2.take(others.b).take(others.a).drop_all();
    if (match == Validator::Match::kByClass) {
      EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
      continue;
    }
    ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kOrderOnly));
    EXPECT_THAT(world.reports[0].reason, HasSubstr("never the same"));
    t2.take(l.b).take(l.a).drop_all();
    EXPECT_THAT(world.verdicts(ReportKind::kCircular),
                ElementsAre(Verdict::kOrderOnly, Verdict::kLikely));
  }
}

TEST(Verdict, ADeclaredOrderIsEverybodysAndItsInversionLikely) {
  World world;
  Locks l;
  world.validator.declare_order(kA, kB);
  Actor(world, "t1").take(l.b).take(l.a).drop_all();
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  EXPECT_FALSE(world.reports[0].chain[0].declared);
  EXPECT_TRUE(world.reports[0].chain[1].declared);
}

TEST(Verdict, AfterAReportTheProgramAndTheValidatorGoOn) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  Actor t2(world, "t2");
  t1.take(l.a).take(l.b).drop_all();
  t2.take(l.b).take(l.a).drop_all();
  t1.take(l.b).take(l.c).drop_all();
  t2.take(l.c).take(l.b).drop_all();
  EXPECT_EQ(world.count(ReportKind::kCircular), 2U);
  EXPECT_THAT(world.reports[1].chain[0].context.name, "t2");
}

TEST(Verdict, NoReportComesFromARightOrderHoweverManyContextsDoIt) {
  World world;
  Locks l;
  for (int i = 0; i < 100; ++i) {
    Actor(world, "t").take(l.gate).take(l.a).take(l.b).take(l.c).drop_all();
  }
  EXPECT_THAT(world.reports, IsEmpty());
  EXPECT_LE(world.validator.statistics().misses, 4U * 8U);
}

}  // namespace
}  // namespace netfs::lockdep
