// Halves of an inversion that different runs did: each World here is a run of its own, and only
// bytes go from one to the next.

#include "lockdep/saved_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/report_text.h"
#include "lockdep/saved_graph_sample.h"
#include "lockdep/saved_symbolizer.h"

namespace netfs::lockdep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(SavedGraph, HalvesOfDifferentRunsAreJoinedAndSayWhichRunDidEach) {
  Process second(200);
  second.seed(first_half());
  second.context("idle", 0);
  second.does("t2", 2, second.b, second.a);
  const Report& report = second.only_report();
  EXPECT_EQ(report.verdict, Verdict::kLikely);
  EXPECT_TRUE(report.joined);
  EXPECT_EQ(report.reason,
            "different threads of different runs did the parts, with no common gate");
  ASSERT_EQ(report.chain.size(), 2U);
  EXPECT_EQ(report.chain[0].run, "");
  EXPECT_EQ(report.chain[0].context.name, "t2");
  EXPECT_EQ(report.chain[1].run, "server/100");
  EXPECT_EQ(report.chain[1].context.name, "t1");
  // Both stacks of the other run's half are places of the graph.
  for (const Stack& stack : {report.chain[1].from.stack, report.chain[1].to.stack}) {
    ASSERT_FALSE(stack.empty());
    EXPECT_GE(stack[0], kSavedPlace);
    EXPECT_LT(stack[0] - kSavedPlace, second.before.places.size());
  }
}

TEST(SavedGraph, WhatTheOtherRunDidAloneIsNoFindingOfThisRun) {
  Process second(200);
  second.seed(first_half());
  second.does("t2", 2, second.a, second.b);
  second.does("t3", 2, second.b, second.c);
  EXPECT_THAT(second.world.reports, IsEmpty());
}

TEST(SavedGraph, AHalfThatIsDoneAgainInThisRunStillClosesTheCircle) {
  // Both runs do a -> b; only the seed has b -> a.
  Process other(100);
  other.context("idle", 0);
  other.does("t1", 1, other.b, other.a);
  Process second(200);
  second.seed(other.saved());
  second.context("idle", 0);
  second.does("t2", 2, second.a, second.b);
  EXPECT_EQ(second.only_report().verdict, Verdict::kLikely);
}

TEST(SavedGraph, ThreadsOfOneRoleInTwoRunsMayBeOneThreadSoTheyAreNotLikely) {
  Process second(200);
  second.seed(first_half());
  second.context("idle", 0);
  second.does("t1 again", 1, second.b, second.a);
  const Report& report = second.only_report();
  EXPECT_EQ(report.verdict, Verdict::kOrderOnly);
  EXPECT_TRUE(report.joined) << "too little is known";
  EXPECT_THAT(report.reason, HasSubstr("perhaps in one thread"));
}

TEST(SavedGraph, ThreadsOfARoleThatSeveralHaveAtOnceAreLikely) {
  Process first(100);
  first.context("t1 twin", 1);
  first.does("t1", 1, first.a, first.b);
  Process second(200);
  second.seed(first.saved());
  second.context("idle", 0);
  second.does("t1 again", 1, second.b, second.a);
  EXPECT_EQ(second.only_report().verdict, Verdict::kLikely);
}

TEST(SavedGraph, WhatAThreadDidWhileNoOtherLivedIsNotLikely) {
  Process first(100);
  first.does("start-up", 1, first.a, first.b);
  Process second(200);
  second.seed(first.saved());
  second.context("idle", 0);
  second.does("t2", 2, second.b, second.a);
  const Report& report = second.only_report();
  EXPECT_EQ(report.verdict, Verdict::kOrderOnly);
  EXPECT_TRUE(report.joined);
  EXPECT_THAT(report.reason, HasSubstr("while no other thread lived"));
}

TEST(SavedGraph, AGateOfOneClassInBothRunsKeepsTheHalvesApart) {
  Process first(100);
  first.context("idle", 0);
  first.context("t1", 1).take(first.c).take(first.a).take(first.b).drop_all();
  Process second(200);
  second.seed(first.saved());
  second.context("idle", 0);
  second.context("t2", 2).take(second.c).take(second.b).take(second.a).drop_all();
  const Report& report = second.only_report();
  EXPECT_EQ(report.verdict, Verdict::kOrderOnly);
  EXPECT_FALSE(report.joined) << "it is known to be impossible";
  EXPECT_EQ(report.reason, "gate `c` held on both sides");
}

TEST(SavedGraph, GuessedClassesAreJoinedOnlyWhereTheyAreOfOneLock) {
  for (const Locks locks : {Locks::kMany, Locks::kOne}) {
    std::string text;
    for (const int64_t process : {100, 200}) {
      World world(Validator::Match::kExact);
      const ClassKey key_a("a", {.locks = locks});
      const ClassKey key_b("b", {.locks = locks});
      const Instance a(key_a);
      const Instance b(key_b);
      SavedGraph before;
      if (process == 200) {
        before = MUST(decode_saved_graph(text));
        world.validator.seed(before);
      }
      Actor idle(world, "idle");
      Actor actor(world, "t");
      world.validator.born(actor.context, site(static_cast<int>(process)));
      process == 100 ? actor.take(a).take(b) : actor.take(b).take(a);
      actor.drop_all();
      text = encode(world.validator.save({.program = "x", .process = process}));
      if (process == 100) continue;
      EXPECT_THAT(world.verdicts(ReportKind::kCircular),
                  ElementsAre(locks == Locks::kOne ? Verdict::kLikely : Verdict::kOrderOnly));
      EXPECT_TRUE(world.reports.at(0).joined);
    }
  }
}

TEST(SavedGraph, AnIdentityJoinsClassesWhateverTheyAreCalled) {
  Process first(100);
  const ClassKey named("mutex at 0x1000", {.identity = "4f1c+0x10"});
  const Instance lock(named);
  first.context("idle", 0);
  first.does("t1", 1, first.a, lock);
  Process second(200);
  const ClassKey other_name("mutex at 0x2000", {.identity = "4f1c+0x10"});
  const ClassKey other("mutex at 0x1000", {.identity = "4f1c+0x20"});
  const Instance same(other_name);
  const Instance different(other);
  second.seed(first.saved());
  second.context("idle", 0);
  second.does("t2", 2, different, second.a);
  EXPECT_THAT(second.world.reports, IsEmpty());
  second.does("t3", 3, same, second.a);
  EXPECT_EQ(second.only_report().verdict, Verdict::kLikely);
  EXPECT_EQ(second.only_report().classes.at(1).name, "mutex at 0x2000");
}

TEST(SavedGraph, JoiningThreadsStillOrdersWhatTheyDidWhenItIsReadBack) {
  // In one run: t1 is joined before t2 is made, or not.
  for (const bool ordered : {true, false}) {
    Process run(100);
    Actor& t1 = run.does("t1", 1, run.a, run.b);
    Actor& t2 = run.context("t2", 2);
    if (ordered) {
      Actor& parent = run.context("main", 3);
      for (int i = 0; i < 3; ++i) (void)run.world.validator.publish(t1.context);
      run.world.validator.observe(parent.context, run.world.validator.publish(t1.context));
      run.world.validator.observe(t2.context, run.world.validator.publish(parent.context));
    }
    t2.take(run.b).take(run.a).drop_all();
    const Verdict verdict = ordered ? Verdict::kOrderOnly : Verdict::kLikely;
    EXPECT_THAT(run.world.verdicts(ReportKind::kCircular), ElementsAre(verdict));

    const SavedGraph graph = MUST(decode_saved_graph(run.saved()));
    World reader;
    reader.validator.seed(graph);
    EXPECT_THAT(reader.reports, IsEmpty()) << "nobody asked";
    reader.validator.check_seeded();
    EXPECT_THAT(reader.verdicts(ReportKind::kCircular), ElementsAre(verdict));
    EXPECT_FALSE(reader.reports[0].joined);
  }
}

TEST(SavedGraph, ReadersStayReaders) {
  Process first(100);
  first.context("idle", 0);
  first.context("t1", 1).read_again(first.a).take(first.b).drop_all();
  Process second(200);
  second.seed(first.saved());
  second.context("idle", 0);
  second.context("t2", 2).take(second.b).read_again(second.a).drop_all();
  EXPECT_THAT(second.world.reports, IsEmpty()) << "a recursive reader waits for no reader";
  second.context("t3", 3).take(second.b).take(second.a).drop_all();
  EXPECT_EQ(second.only_report().verdict, Verdict::kLikely);
}

TEST(SavedGraph, ClassesThatShareANameWithoutIdentityAreNotSaved) {
  Process run(100);
  const ClassKey second_a("a");
  const Instance other(second_a);
  run.does("t1", 1, run.a, run.b);
  run.does("t1", 1, run.b, other);
  const ClassKey nameless("one of many", {.identity = ""});
  const Instance nobody(nameless);
  run.does("t1", 1, run.b, nobody);
  const SavedGraph graph = MUST(decode_saved_graph(run.saved()));
  ASSERT_EQ(graph.classes.size(), 1U);
  EXPECT_EQ(graph.classes[0].name, "b");
  EXPECT_THAT(graph.edges, IsEmpty());
}

TEST(SavedGraph, WhatWasSeededIsNotSavedAsThisRunsOwn) {
  Process second(200);
  second.seed(first_half());
  second.does("t2", 2, second.b, second.c);
  const SavedGraph graph = MUST(decode_saved_graph(second.saved()));
  ASSERT_EQ(graph.edges.size(), 1U);
  EXPECT_EQ(graph.classes[graph.edges[0].to].name, "c");
  ASSERT_EQ(graph.runs.size(), 1U);
  EXPECT_EQ(graph.runs[0].process, 200);
}

TEST(SavedSymbolizer, StacksOfAnotherRunHaveNamesLinesAndWhoDidIt) {
  Process first(100);
  first.context("idle", 0);
  const uintptr_t ip = reinterpret_cast<uintptr_t>(&site) + 4;
  first.context("t1", 1).take(first.a, {}, ip).take(first.b, {}, ip + 1).drop_all();
  Process second(200);
  second.seed(first.saved());
  second.context("idle", 0);
  second.does("t2", 2, second.b, second.a);
  DwarfSymbolizer live;
  SavedSymbolizer symbolizer(second.before, live);
  const std::string text = report_text(second.only_report(), symbolizer, {});
  EXPECT_THAT(text, HasSubstr("netfs::lockdep::site+0x5/0x"));
  EXPECT_THAT(text, HasSubstr("saved_graph_sample.h:"));
  EXPECT_THAT(text, HasSubstr("... by t1/0 at 20"));
  EXPECT_THAT(text, HasSubstr(" in another run, server/100\n"));
  // All other addresses are this process's.
  EXPECT_EQ(symbolizer.resolve(ip).back().function, live.resolve(ip).back().function);
}

}  // namespace
}  // namespace netfs::lockdep
