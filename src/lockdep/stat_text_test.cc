#include "lockdep/stat_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/report_sample.h"
#include "lockdep/saved_graph_sample.h"

namespace netfs::lockdep {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

TEST(ClassesText, ListsEachClassWithAllThatComesAfterAndBefore) {
  Process run(1);
  run.does("t", 0, run.a, run.b);
  run.does("t", 0, run.b, run.c);
  const std::string expected =
      "all lock classes:\n"
      "FD:    3 BD:    1 +.: a\n"
      " -> b\n"
      "FD:    2 BD:    2 +.: b\n"
      " -> c\n"
      "FD:    1 BD:    3 +.: c\n";
  EXPECT_EQ(classes_text(take_snapshot(run.world.validator)), expected);
  // A saved graph says the same, but for usages, which it does not have.
  const std::string saved = classes_text(snapshot_of(MUST(decode_saved_graph(run.saved()))));
  EXPECT_THAT(saved, HasSubstr("FD:    3 BD:    1 ..: a\n -> b\n"));
}

TEST(StatisticsText, SaysWhatWasLearntALineEach) {
  Process run(1);
  run.does("t", 0, run.a, run.b);
  const std::string text = statistics_text(run.world.validator.statistics());
  EXPECT_THAT(text, HasSubstr(" lock-classes:                                 2\n"));
  EXPECT_THAT(text, HasSubstr(" direct dependencies:                          1\n"));
  EXPECT_THAT(text, HasSubstr(" contexts:                                     1\n"));
}

TEST(StatisticsText, OfASavedGraphHasNoRowOfWhatIsNotSaved) {
  Process run(1);
  run.does("t", 0, run.a, run.b);
  EXPECT_EQ(statistics_text(MUST(decode_saved_graph(run.saved()))),
            " lock-classes:                                 2\n"
            " direct dependencies:                          1\n"
            " stack traces:                                 1\n"
            " contexts:                                     1\n"
            " runs:                                         1\n");
}

TEST(WaitsText, WhoWaitsIsToldWithWhoHasTheLockAndWhatElseIsHeld) {
  Process run(1);
  FakeSymbolizer symbolizer;
  Actor& holder = run.context("holder", 0);
  holder.take(run.a);
  Actor& waiter = run.context("waiter", 0);
  waiter.take(run.b, {}, symbolizer.add("hold_b+0x4/0x20"));
  waiter.take(run.a, {}, symbolizer.add("take_a+0x8/0x20"));
  Validator& validator = run.world.validator;
  EXPECT_THAT(validator.waits(), SizeIs(0));
  EXPECT_EQ(waits_text({}, symbolizer), "nobody waits for a lock\n");

  validator.contended(waiter.context, run.a);
  const std::vector<Report> waits = validator.waits();
  EXPECT_EQ(waits_text(waits, symbolizer),
            "1 context waits for a lock:\n\n"
            "waiter/0 waits for (a){+.}-{4:4}, held by holder/0, at:\n"
            "      take_a+0x8/0x20\n"
            "  it holds (b){+.}-{4:4}, taken at:\n"
            "      hold_b+0x4/0x20\n");
  EXPECT_THAT(run.world.reports, SizeIs(0)) << "a wait is no finding";

  holder.drop_all();
  validator.acquired(waiter.context, run.a);
  EXPECT_THAT(validator.waits(), SizeIs(0));
}

}  // namespace
}  // namespace netfs::lockdep
