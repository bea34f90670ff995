#include "lockdep_tool/report_reader.h"

#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/graph_dot.h"
#include "lockdep/report_json.h"
#include "lockdep/report_sample.h"
#include "lockdep/report_text.h"
#include "lockdep/report_words.h"
#include "lockdep_tool/explanation.h"

namespace netfs::lockdep_tool {
namespace {

using lockdep::FakeSymbolizer;
using lockdep::Report;
using lockdep::ReportKind;
using lockdep::Verdict;
using testing::HasSubstr;

// Two threads, one of another run; a is taken under b, and b under a.
Report circle(FakeSymbolizer& symbolizer) {
  Report report = lockdep::sample_report(ReportKind::kCircular, symbolizer);
  report.verdict = Verdict::kLikely;
  report.reason = "different threads of different runs did the parts, with no common gate";
  report.joined = true;
  report.chain = {lockdep::sample_edge(1, 0, symbolizer), lockdep::sample_edge(0, 1, symbolizer)};
  report.chain[0].context = {.name = "writer", .id = 12};
  report.chain[1].run = "server/100";
  report.holding = report.chain[0].from;
  report.taking = report.chain[0].to;
  return report;
}

ReadReport read_back(const std::string& json) {
  return MUST(read_reports(json, "x")).at(0);
}

TEST(ReportReader, WhatWasWrittenAsJsonIsReadBackWhole) {
  FakeSymbolizer symbolizer;
  Report report = circle(symbolizer);
  report.chain[0].gates = {report.held[0]};
  report.waiting = {{.name = "w", .id = 3, .is_thread = false}};
  report.compare_result = -1;
  report.signal = SIGUSR1;
  report.safe_class = 1;
  report.unsafe_class = 2;
  report.old_state_stack = symbolizer.stack({"handler+0x1/0x9"});
  report.stack.insert(report.stack.begin(),
                      symbolizer.add(std::vector<lockdep::Frame>{
                          {.function = "inlined", .file = "a.cc", .line = 3, .inlined = true},
                          {.function = "outer", .offset = 4, .length = 8, .module = "/lib/x.so"}}));
  const lockdep::ReportIdentity identity = lockdep::sample_options().identity;
  const std::string json = report_json(report, symbolizer, identity);
  ReadReport read = read_back("some output\n{\"not\":\"ours\"}\n" + json + "\n");
  EXPECT_EQ(report_json(read.report, read, read.identity), json);
  EXPECT_EQ(report_dot(read.report), report_dot(report));
}

TEST(ReportReader, WhatIsNoReportIsRefusedInOneClearLine) {
  const auto message = [](std::string_view text) {
    const Result<std::vector<ReadReport>> reports = read_reports(text, "x");
    EXPECT_TRUE(reports.is_error(EINVAL)) << text;
    return reports.ok() ? std::string() : reports.error().message();
  };
  const std::string nothing = "x has no lockdep report in JSON (lockdep run --json writes them)";
  EXPECT_EQ(message(""), nothing);
  EXPECT_EQ(message("{\n[1]\nhello\n\xff{}"), nothing);
  EXPECT_EQ(message("\n{\"schema\":2}"), "x:2 is a report of a schema that is not known here");
  EXPECT_EQ(message("{\"schema\":1}"), "x:1 is a damaged report");
  FakeSymbolizer symbolizer;
  std::string json = report_json(circle(symbolizer), symbolizer, {});
  json.replace(json.find("\"class\":1"), 9, "\"class\":7");
  EXPECT_EQ(message(json), "x:1 is a damaged report");
}

TEST(Explanation, ACircleIsToldStepByStepWithItsPlacesAndTheWayOut) {
  FakeSymbolizer symbolizer;
  EXPECT_EQ(
      explanation(circle(symbolizer), symbolizer),
      "Two locks are taken in opposite orders, so those who take them can end up waiting for each "
      "other for ever:\n\n"
      "  1. thread `writer` (12)\n"
      "     holds `b`, taken in hold_1_0,\n"
      "     and takes `a` in take_1_0\n"
      "  2. thread `worker` (65518) of another run, server/100\n"
      "     holds `a`, taken in hold_0_1,\n"
      "     and takes `b` in take_0_1\n"
      "\nIf each gets its first lock before any gets its second, none goes on.\n"
      "\nHow sure: likely; nothing that is known keeps the parts from meeting.  different threads "
      "of different runs did the parts, with no common gate.\n"
      "\nWhat helps: take the locks in one order everywhere, or release the first before the "
      "second "
      "is taken, or take both at once (std::scoped_lock).\n"
      "\nIf it is known and wanted, this line in a suppression file keeps it quiet:\n"
      "    circular \"a\" -> \"b\"\n");
}

TEST(Explanation, APlaceIsTheProgramsOwnLineAndNoInlinedWrapperOfTheLibrary) {
  FakeSymbolizer symbolizer;
  Report report = lockdep::sample_report(ReportKind::kBadUnlock, symbolizer);
  report.stack = {symbolizer.add(std::vector<lockdep::Frame>{
      {.function = "std::mutex::unlock", .file = "/usr/include/c++/12/mutex", .inlined = true},
      {.function = "leave", .file = "bank.cc", .line = 7}})};
  EXPECT_THAT(explanation(report, symbolizer), HasSubstr("in leave (bank.cc:7)"));
}

TEST(Explanation, EveryKindHasOneThatNamesItsLock) {
  FakeSymbolizer symbolizer;
  for (uint8_t kind = 0; kind <= static_cast<uint8_t>(ReportKind::kOrphaned); ++kind) {
    Report report = lockdep::sample_report(static_cast<ReportKind>(kind), symbolizer);
    if (report.kind == ReportKind::kCircular) continue;
    report.signal = SIGUSR1;
    report.safe_class = report.unsafe_class = 1;
    const std::string text = explanation(report, symbolizer);
    const bool held = report.kind == ReportKind::kHeldAtExit;
    EXPECT_THAT(text, HasSubstr(held ? "`a`" : "`b`")) << kind_word(report.kind);
    EXPECT_THAT(text, HasSubstr("How sure: it is proved.")) << kind_word(report.kind);
    EXPECT_THAT(text, HasSubstr("What helps: ")) << kind_word(report.kind);
  }
}

}  // namespace
}  // namespace netfs::lockdep_tool
