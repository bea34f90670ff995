// The hard behaviours: signal handlers and wait types.

#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constinit ClassKey kA{"test.a", {.inner = Wait::kSpin}};
constinit ClassKey kB{"test.b", {.inner = Wait::kSpin}};

struct Locks {
  Instance a{kA}, b{kB};
};

uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}

// Takes locks in a handler of `signal`.
class Handler {
 public:
  Handler(World& world, Actor& actor, int signal) : world_(world), actor_(actor), signal_(signal) {
    world.validator.signal_enter(actor.context, signal);
  }
  ~Handler() { world_.validator.signal_leave(actor_.context, signal_); }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

 private:
  World& world_;
  Actor& actor_;
  int signal_;
};

// 15.
TEST(Signals, ALockOfAHandlerThatIsHeldWithTheSignalUnblockedIsReportedThoughTheyNeverMet) {
  for (const bool handler_first : {true, false}) {
    World world;
    Locks l;
    Actor t1(world, "t1");
    if (!handler_first) t1.take(l.a).drop_all();
    {
      const Handler handler(world, t1, SIGUSR1);
      t1.take(l.a).drop(l.a);
    }
    if (handler_first) t1.take(l.a).drop_all();
    ASSERT_THAT(world.verdicts(ReportKind::kInconsistentState), ElementsAre(Verdict::kLikely));
    const Report& report = world.reports[0];
    EXPECT_EQ(report.signal, SIGUSR1);
    EXPECT_EQ(report.old_state, handler_first ? "IN-SIGUSR1-W" : "SIGUSR1-ON-W");
    EXPECT_EQ(report.new_state, handler_first ? "SIGUSR1-ON-W" : "IN-SIGUSR1-W");
    EXPECT_EQ(report.classes[0].usage, "?.");
  }
}

TEST(Signals, AHandlerThatInterruptsTheHolderIsProved) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a);
  {
    const Handler handler(world, t1, SIGUSR1);
    t1.take(l.a).drop(l.a);
  }
  EXPECT_THAT(world.verdicts(ReportKind::kInconsistentState), ElementsAre(Verdict::kProved));
}

TEST(Signals, BlockingTheSignalExcusesAndBlockingAnotherDoesNot) {
  for (const int blocked : {SIGUSR1, SIGUSR2}) {
    World world;
    Locks l;
    Actor t1(world, "t1");
    {
      const Handler handler(world, t1, SIGUSR1);
      t1.take(l.a).drop(l.a);
    }
    world.validator.set_blocked_signals(t1.context, bit(blocked), 1);
    t1.take(l.a).drop_all();
    EXPECT_EQ(world.reports.size(), blocked == SIGUSR1 ? 0U : 1U);
  }
}

TEST(Signals, UnblockingTheSignalWhileTheLockIsHeldIsReported) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  {
    const Handler handler(world, t1, SIGUSR1);
    t1.take(l.a).drop(l.a);
  }
  world.validator.set_blocked_signals(t1.context, bit(SIGUSR1), 1);
  t1.take(l.a);
  EXPECT_THAT(world.reports, IsEmpty());
  world.validator.set_blocked_signals(t1.context, 0, 1);
  EXPECT_EQ(world.count(ReportKind::kInconsistentState), 1U);
}

TEST(Signals, TheMasksOfTwoSignalsDoNotMix) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  {
    const Handler handler(world, t1, SIGUSR1);
    world.validator.set_blocked_signals(t1.context, ~uint64_t{0}, 1);
    t1.take(l.a).drop(l.a);
  }
  world.validator.set_blocked_signals(t1.context, bit(SIGUSR1), 1);
  t1.take(l.a).drop_all();  // SIGUSR2 is unblocked, but A is not taken in its handler
  EXPECT_THAT(world.reports, IsEmpty());
}

TEST(Signals, EachSignalOfALockIsReportedUnderItsOwnName) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a).drop_all();
  {
    const Handler handler(world, t1, SIGUSR1);
    t1.take(l.a).drop(l.a);
  }
  t1.take(l.a);
  {
    const Handler handler(world, t1, SIGUSR2);
    t1.take(l.a).drop(l.a);
  }
  ASSERT_THAT(world.verdicts(ReportKind::kInconsistentState),
              ElementsAre(Verdict::kLikely, Verdict::kProved));
  EXPECT_EQ(world.reports[0].signal, SIGUSR1);
  EXPECT_EQ(world.reports[1].signal, SIGUSR2) << "its handler interrupted the holder";
}

TEST(Signals, APathFromTheHandlersLockToAnUnblockedOneIsReportedInAnyOrderOfEvents) {
  int order[] = {0, 1, 2};
  do {
    World world;
    Locks l;
    Actor t1(world, "t1");
    for (const int step : order) {
      if (step == 0) {
        const Handler handler(world, t1, SIGUSR1);
        t1.take(l.a).drop(l.a);
      } else if (step == 1) {
        world.validator.set_blocked_signals(t1.context, bit(SIGUSR1), 1);
        t1.take(l.a).take(l.b).drop_all();
        world.validator.set_blocked_signals(t1.context, 0, 1);
      } else {
        t1.take(l.b).drop_all();
      }
    }
    ASSERT_EQ(world.reports.size(), 1U);
    const Report& report = world.reports[0];
    EXPECT_EQ(report.kind, order[2] == 1 ? ReportKind::kUnsafeOrder : ReportKind::kInversion);
    EXPECT_EQ(report.classes[report.safe_class].name, "test.a");
    EXPECT_EQ(report.classes[report.unsafe_class].name, "test.b");
    ASSERT_EQ(report.chain.size(), 1U);
  } while (std::next_permutation(std::begin(order), std::end(order)));
}

TEST(Signals, ARecursiveReaderInAHandlerDoesNotWaitForReaders) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  {
    const Handler handler(world, t1, SIGUSR1);
    t1.read_again(l.a).drop(l.a);
  }
  t1.read(l.a).drop_all();
  EXPECT_THAT(world.reports, IsEmpty());
  t1.take(l.a).drop_all();
  EXPECT_EQ(world.count(ReportKind::kInconsistentState), 1U);
}

TEST(Signals, AHandlersLocksAreNotTakenUnderWhatItInterrupted) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  world.validator.set_blocked_signals(t1.context, bit(SIGUSR2), 1);
  t1.take(l.a);
  {
    const Handler handler(world, t1, SIGUSR1);
    t1.take(l.b).drop(l.b);
  }
  EXPECT_FALSE(world.has_edge("test.a", "test.b"));
  t1.drop_all();
  EXPECT_EQ(world.count(ReportKind::kBadUnlock), 0U);
}

TEST(Signals, WhatAHandlerComesUponIsReportedWhenItHasEnded) {
  World world;
  Locks l;
  Actor t1(world, "t1");
  t1.take(l.a);
  {
    const Handler handler(world, t1, SIGUSR1);
    t1.take(l.a).drop(l.a);
    EXPECT_THAT(world.reports, IsEmpty());
  }
  EXPECT_EQ(world.reports.size(), 1U);
}

// Rows: what is held; columns: what may be taken.
TEST(Waits, EachKindOfWaitIsAllowedUnderItsPeersAndAbove) {
  const Wait columns[] = {Wait::kFree, Wait::kSpin, Wait::kMutex, Wait::kBlocking};
  const struct {
    const char* name;
    Wait held;    // kUnchecked: in a handler
    int allowed;  // of the columns, from the left
  } rows[] = {{"handler", Wait::kUnchecked, 2},
              {"spin", Wait::kSpin, 2},
              {"mutex", Wait::kMutex, 3},
              {"await-section", Wait::kBlocking, 4}};
  for (const auto& row : rows) {
    for (int column = 0; column < 4; ++column) {
      World world;
      ClassKey outer("test.outer", {.inner = row.held});
      ClassKey inner("test.inner", {.inner = columns[column]});
      Instance held(outer);
      Instance taken(inner);
      Actor t1(world, "t1");
      // Signals do not matter here.
      world.validator.set_blocked_signals(t1.context, ~uint64_t{0}, 1);
      if (row.held == Wait::kUnchecked) {
        const Handler handler(world, t1, SIGUSR1);
        t1.take(taken).drop(taken);
      } else {
        t1.take(held).take(taken).drop_all();
      }
      EXPECT_EQ(world.count(ReportKind::kInvalidWait), column < row.allowed ? 0U : 1U)
          << row.name << ", column " << column;
      t1.drop_all();
      t1.take(held).try_take(taken).drop_all();
      EXPECT_EQ(world.count(ReportKind::kInvalidWait), column < row.allowed ? 0U : 1U);
    }
  }
}

}  // namespace
}  // namespace netfs::lockdep
