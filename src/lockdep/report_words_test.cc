#include "lockdep/report_words.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "lockdep/report_sample.h"
#include "lockdep/suppression.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

TEST(ReportWords, ClassNamesHaveVersionAndSubclassWhereNotTheFirst) {
  EXPECT_EQ(class_name({.name = "a"}), "a");
  EXPECT_EQ(class_name({.name = "a", .version = 2}), "a#2");
  EXPECT_EQ(class_name({.name = "a", .version = 3, .subclass = 1}), "a#3/1");
  EXPECT_EQ(
      class_text({.name = "a", .subclass = 2, .usage = "+-.?", .wait_outer = 2, .wait_inner = 3}),
      " (a/2){+-.?}-{2:3}");
}

// Goal: the circle a -> b -> c -> a has one line wherever it was closed; c -> b -> a another.
TEST(Suppression, ACircleHasOneLineWhereverItWasClosed) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kCircular, symbolizer);
  report.classes[2].version = 7;
  const auto edge = [&](uint32_t from, uint32_t to) { return sample_edge(from, to, symbolizer); };
  const std::string wanted = R"(circular "a" -> "b" -> "c")";
  report.chain = {edge(0, 1), edge(1, 2), edge(2, 0)};
  EXPECT_EQ(suppression_line(report), wanted);
  report.chain = {edge(1, 2), edge(2, 0), edge(0, 1)};
  EXPECT_EQ(suppression_line(report), wanted);
  report.chain = {edge(2, 0), edge(0, 1), edge(1, 2)};
  EXPECT_EQ(suppression_line(report), wanted);
  report.chain = {edge(2, 1), edge(1, 0), edge(0, 2)};
  EXPECT_EQ(suppression_line(report), R"(circular "a" -> "c" -> "b")");
}

TEST(Suppression, NamesAreQuotedOnOneLine) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kBadUnlock, symbolizer);
  report.classes[1] = {.name = "a \"b\" \\ -> \n", .subclass = 1};
  EXPECT_EQ(suppression_line(report), R"(bad-unlock "a \"b\" \\ -> \x0a/1")");
}

TEST(TextFormat, SignalsHaveTheirNames) {
  EXPECT_EQ(signal_name(SIGUSR1), "SIGUSR1");
  EXPECT_EQ(signal_name(SIGRTMIN + 3), "SIGRTMIN+3");
  EXPECT_EQ(signal_name(0), "SIG0");
  EXPECT_EQ(signal_name(999), "SIG999");
}

TEST(TextFormat, TimesAreUtcWithMicroseconds) {
  EXPECT_EQ(time_text(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(time_text(1'638'884'395'000'123'999), "2021-12-07T13:39:55.000123Z");
  EXPECT_EQ(time_text(-1), "1969-12-31T23:59:59.999999Z");
}

// The build-id is that of the binary on disk: readelf names the same, so the file holds its digits.
TEST(ReportIdentity, OwnIdentityNamesThisProgram) {
  const ReportIdentity identity = own_identity("1.2");
  EXPECT_EQ(identity.program, "lockdep_report_words_test");
  EXPECT_GE(identity.build_id.size(), 16U);
  EXPECT_EQ(identity_line(identity),
            "lockdep_report_words_test 1.2 build-id " + identity.build_id.substr(0, 16));
  EXPECT_EQ(identity_line({.program = "a"}), "a");
}

}  // namespace
}  // namespace netfs::lockdep
