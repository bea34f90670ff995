#include "lockdep/suppression_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/report_sample.h"
#include "lockdep/suppression.h"

namespace netfs::lockdep {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

SuppressionList list_of(std::string_view text) {
  return MUST(SuppressionList::parse(text, "known.supp"));
}

// A circle b -> c -> a -> b; the first edge is new.
Report circle(FakeSymbolizer& symbolizer) {
  Report report = sample_report(ReportKind::kCircular, symbolizer);
  report.chain = {sample_edge(1, 2, symbolizer), sample_edge(2, 0, symbolizer),
                  sample_edge(0, 1, symbolizer)};
  report.holding = report.chain[0].from;
  report.taking = report.chain[0].to;
  return report;
}

TEST(SuppressionList, AReportsOwnLineSilencesIt) {
  FakeSymbolizer symbolizer;
  Report report = circle(symbolizer);
  report.classes[0].name = "odd \"name\\\" \x01";
  SuppressionList list = list_of(suppression_line(report) + "\n");
  EXPECT_TRUE(list.matches(report, symbolizer));
  EXPECT_THAT(list.unused(), IsEmpty());
}

TEST(SuppressionList, ACircleMatchesWhereverTheLineBeginsIt) {
  FakeSymbolizer symbolizer;
  const Report report = circle(symbolizer);
  EXPECT_TRUE(list_of(R"(circular "b" -> "c" -> "a")").matches(report, symbolizer));
  EXPECT_TRUE(list_of(R"(circular "c"->"a"->"b")").matches(report, symbolizer));
  EXPECT_FALSE(list_of(R"(circular "c" -> "b" -> "a")").matches(report, symbolizer));
  EXPECT_FALSE(list_of(R"(circular "b" -> "c")").matches(report, symbolizer));
  EXPECT_FALSE(list_of(R"(recursive "b" -> "c" -> "a")").matches(report, symbolizer));
}

TEST(SuppressionList, AStarStandsForAnyBytesOfANameAndForNoOtherName) {
  FakeSymbolizer symbolizer;
  Report report = circle(symbolizer);
  report.classes[2].name = "cache.index";
  EXPECT_TRUE(list_of(R"(circular "a" -> "b" -> "cache.*")").matches(report, symbolizer));
  EXPECT_TRUE(list_of(R"(circular "*" -> "*" -> "*")").matches(report, symbolizer));
  EXPECT_FALSE(list_of(R"(circular "*" -> "*")").matches(report, symbolizer));
}

TEST(SuppressionList, AFunctionMatchesAnyFrameOfALocksStack) {
  FakeSymbolizer symbolizer;
  const Report report = circle(symbolizer);
  EXPECT_TRUE(list_of("function hold_2_0").matches(report, symbolizer));
  EXPECT_TRUE(list_of("function take_*").matches(report, symbolizer));
  EXPECT_FALSE(list_of("function hold_2").matches(report, symbolizer));
}

TEST(SuppressionList, AnObjectMatchesWhereItsCodeTakesALock) {
  FakeSymbolizer symbolizer;
  const uintptr_t taker = symbolizer.add(
      std::vector<Frame>{{.function = "SSL_lock", .module = "/usr/lib/libssl.so.3"}});
  const uintptr_t caller =
      symbolizer.add(std::vector<Frame>{{.function = "main", .module = "/usr/bin/program"}});
  Report report = sample_report(ReportKind::kBadUnlock, symbolizer);
  report.stack = report.taking.stack = {taker, caller};
  report.holding.reset();
  EXPECT_TRUE(list_of("object libssl.so.3").matches(report, symbolizer));
  EXPECT_TRUE(list_of("object libssl.so*").matches(report, symbolizer));
  EXPECT_TRUE(list_of("object /usr/lib/libssl.so.3").matches(report, symbolizer));
  EXPECT_FALSE(list_of("object program").matches(report, symbolizer));
  EXPECT_FALSE(list_of("object /lib/libssl.so.3").matches(report, symbolizer));
}

TEST(SuppressionList, EntriesThatMatchedNothingAreNamedWithTheirPlace) {
  FakeSymbolizer symbolizer;
  SuppressionList list = list_of(
      "# known\n\n"
      "circular \"a\" -> \"b\" -> \"c\"\n"
      "function nobody\n"
      "  object  gone.so  \r\n");
  EXPECT_EQ(list.size(), 3U);
  EXPECT_TRUE(list.matches(circle(symbolizer), symbolizer));
  EXPECT_THAT(list.unused(),
              ElementsAre("known.supp:4: function nobody", "known.supp:5: object  gone.so"));
}

TEST(SuppressionList, ALineThatIsNoEntryIsRefusedWithItsNumber) {
  const auto message = [](std::string_view text) {
    const Result<SuppressionList> list = SuppressionList::parse(text, "x");
    EXPECT_TRUE(list.is_error(EINVAL)) << text;
    return list.ok() ? std::string() : list.error().message();
  };
  EXPECT_EQ(message("\nbogus \"a\""),
            "x:2: `bogus` is no kind of report, and neither `function` nor `object`");
  EXPECT_EQ(message("function"), "x:1: `function` wants a name");
  for (const char* line : {"circular", "circular a", "circular \"a", "circular \"a\" \"b\"",
                           "circular \"a\" ->", "circular \"a\\"}) {
    EXPECT_EQ(message(line), R"(x:1: wants quoted class names: KIND "a" -> "b")") << line;
  }
}

TEST(SuppressionList, AGlobOfManyStarsIsDecidedAtOnce) {
  const std::string text(100'000, 'a');
  EXPECT_FALSE(glob_matches("*a*a*a*a*a*a*a*a*b", text));
  EXPECT_TRUE(glob_matches("a*a**", text));
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_FALSE(glob_matches("", "a"));
}

}  // namespace
}  // namespace netfs::lockdep
