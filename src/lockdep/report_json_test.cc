#include "lockdep/report_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <random>
#include <signal.h>
#include <string>

#include "lockdep/json_writer.h"
#include "lockdep/report_sample.h"

namespace netfs::lockdep {
namespace {

using nlohmann::json;

// Every member of a report differs from its default and from the others of its type.
Report full_report(FakeSymbolizer& symbolizer) {
  Report report = sample_report(ReportKind::kUnsafeOrder, symbolizer);
  report.verdict = Verdict::kLikely;
  report.classes[1].version = 3;
  report.classes[1].subclass = 2;
  report.taking.mode = Mode::kRecursiveRead;
  report.taking.trylock = true;
  report.chain = {sample_edge(0, 1, symbolizer), sample_edge(1, 2, symbolizer)};
  report.chain[1].declared = true;
  report.chain[1].run = "server/100";
  report.joined = true;
  report.chain[1].to.sync = true;
  report.chain[0].gates = {{.class_index = 2, .address = 0x77}};
  report.waiting = {{.name = "read", .id = 42, .is_thread = false}};
  report.signal = SIGUSR1;
  report.old_state = "IN-SIGUSR1-W";
  report.new_state = "SIGUSR1-ON-W";
  report.old_state_stack = symbolizer.stack({"handler+0x8/0x20"});
  report.unsafe_state_stack = symbolizer.stack({"plain+0x8/0x30"});
  report.safe_class = 1;
  report.unsafe_class = 2;
  report.compare_result = -1;
  report.freed_from = 0x1000;
  report.freed_to = 0x2000;
  report.context_wait = 4;
  report.message = "a message";
  return report;
}

json lock_json(int index, const char* address, const json& stack) {
  return {{"class", index},   {"address", address}, {"mode", "write"},
          {"trylock", false}, {"sync", false},      {"stack", stack}};
}

// What a fake frame looks like; addresses are the symbolizer's and are looked up in the page.
json frame_json(const json& page_frame, const char* function, int offset, int length) {
  return {{"address", page_frame.at("address")},
          {"function", function},
          {"offset", offset},
          {"length", length},
          {"file", ""},
          {"line", 0},
          {"module", ""},
          {"module_offset", "0x0"},
          {"inlined", false}};
}

TEST(ReportJson, EveryMemberOfAReportIsThere) {
  FakeSymbolizer symbolizer;
  const Report report = full_report(symbolizer);
  const json page = json::parse(report_json(report, symbolizer, sample_options().identity));

  EXPECT_EQ(page.at("schema"), 1);
  EXPECT_EQ(page.at("kind"), "unsafe-order");
  EXPECT_EQ(page.at("title"), "SIGUSR1-safe -> SIGUSR1-unsafe lock order detected");
  EXPECT_EQ(page.at("summary"),
            "lockdep: LIKELY: SIGUSR1-safe -> SIGUSR1-unsafe lock order detected: a -> b#3/2 -> c");
  EXPECT_EQ(page.at("verdict"), "LIKELY");
  EXPECT_EQ(page.at("reason"), "needs nobody else");
  EXPECT_EQ(page.at("joined"), true);
  EXPECT_EQ(page.at("suppression"), R"(unsafe-order "a" -> "b/2" -> "c")");
  EXPECT_EQ(page.at("program"), json({{"name", "holetest"},
                                      {"version", "0.1.0"},
                                      {"build_id", "4f1c8e02a9b3c5d7ffffffff"},
                                      {"pid", 65500}}));
  EXPECT_EQ(page.at("classes").size(), 3U);
  EXPECT_EQ(page.at("classes").at(1), json({{"name", "b"},
                                            {"version", 3},
                                            {"subclass", 2},
                                            {"usage", "...."},
                                            {"wait_outer", 4},
                                            {"wait_inner", 4}}));
  EXPECT_EQ(page.at("path"), json({0, 1, 2}));
  EXPECT_EQ(page.at("context"), json({{"name", "holetest"}, {"id", 65517}, {"thread", true}}));
  EXPECT_EQ(page.at("waiting"), json::array({{{"name", "read"}, {"id", 42}, {"thread", false}}}));
  EXPECT_EQ(page.at("signal"), SIGUSR1);
  EXPECT_EQ(page.at("signal_name"), "SIGUSR1");
  EXPECT_EQ(page.at("old_state"), "IN-SIGUSR1-W");
  EXPECT_EQ(page.at("new_state"), "SIGUSR1-ON-W");
  EXPECT_EQ(page.at("safe_class"), 1);
  EXPECT_EQ(page.at("unsafe_class"), 2);
  EXPECT_EQ(page.at("compare_result"), -1);
  EXPECT_EQ(page.at("freed_from"), "0x1000");
  EXPECT_EQ(page.at("freed_to"), "0x2000");
  EXPECT_EQ(page.at("context_wait"), 4);
  EXPECT_EQ(page.at("message"), "a message");
}

TEST(ReportJson, LocksEdgesAndStacksAreThere) {
  FakeSymbolizer symbolizer;
  const Report report = full_report(symbolizer);
  const json page = json::parse(report_json(report, symbolizer, sample_options().identity));

  const json held_stack =
      json::array({frame_json(page["held"][0]["stack"][0], "main", 0x10, 0x80)});
  EXPECT_EQ(page["held"], json::array({lock_json(0, "0x7ffd00001000", held_stack)}));
  EXPECT_EQ(page["holding"], page["held"][0]);
  EXPECT_EQ(page["taking"]["mode"], "recursive-read");
  EXPECT_EQ(page["taking"]["trylock"], true);
  EXPECT_EQ(page["stack"], page["taking"]["stack"]);
  EXPECT_EQ(page["stack"], json::array({frame_json(page["stack"][0], "work", 0x20, 0x60),
                                        frame_json(page["stack"][1], "main", 0x30, 0x80)}));
  EXPECT_EQ(page["old_state_stack"][0]["function"], "handler");
  EXPECT_EQ(page["unsafe_state_stack"][0]["function"], "plain");

  ASSERT_EQ(page["chain"].size(), 2U);
  const json& edge = page["chain"][0];
  EXPECT_EQ(edge["from"]["stack"][0]["function"], "hold_0_1");
  EXPECT_EQ(edge["to"]["stack"][0]["function"], "take_0_1");
  EXPECT_EQ(edge["context"], json({{"name", "worker"}, {"id", 65518}, {"thread", true}}));
  EXPECT_EQ(edge["time_ns"], 1'638'884'395'000'123'000);
  EXPECT_EQ(edge["declared"], false);
  EXPECT_EQ(edge["gates"], json::array({lock_json(2, "0x77", json::array())}));
  EXPECT_EQ(page["chain"][1]["declared"], true);
  EXPECT_EQ(edge["run"], "");
  EXPECT_EQ(page["chain"][1]["run"], "server/100");
  EXPECT_EQ(page["chain"][1]["to"]["sync"], true);
}

TEST(ReportJson, WhatAKindLacksIsNull) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kBadUnlock, symbolizer);
  report.holding.reset();
  const json page = json::parse(report_json(report, symbolizer, {}));
  for (const char* key : {"holding", "holder", "safe_class", "unsafe_class", "compare_result"}) {
    EXPECT_TRUE(page.at(key).is_null()) << key;
  }
  EXPECT_EQ(page.at("chain"), json::array());
  EXPECT_EQ(page.at("signal_name"), "");
}

std::string written(std::string_view bytes) {
  JsonWriter writer;
  writer.begin_array();
  writer.value(bytes);
  writer.end_array();
  return writer.take();
}

TEST(JsonWriter, Utf8IsKeptAndOtherBytesAreReplaced) {
  const std::string mixed = "a\"\\\n\t\x01\x7f/\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x92";
  EXPECT_EQ(json::parse(written(mixed)).at(0), mixed);
  const std::string replacement = "\xef\xbf\xbd";
  for (const std::string_view broken :
       {"\xff", "\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xf0\x9f\x94", "\xe2\x82"}) {
    std::string wanted;
    for (size_t i = 0; i < broken.size(); ++i) wanted += replacement;
    EXPECT_EQ(json::parse(written(broken)).at(0), wanted);
  }
  EXPECT_EQ(json::parse(written(std::string_view("\0", 1))).at(0), std::string(1, '\0'));
}

// Goal: whatever bytes names hold, the text is JSON.  The parser refuses what is no UTF-8.
TEST(JsonWriter, AnyBytesMakeAValidText) {
  const uint32_t seed = 598;
  std::mt19937 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 12, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    ASSERT_TRUE(json::accept(written(bytes))) << "seed " << seed << ", round " << round;
  }
}

TEST(JsonWriter, NumbersAreExact) {
  JsonWriter writer;
  writer.begin_array();
  writer.value(UINT64_MAX);
  writer.value(INT64_MIN);
  writer.value(0);
  writer.end_array();
  EXPECT_EQ(writer.take(), "[18446744073709551615,-9223372036854775808,0]");
}

}  // namespace
}  // namespace netfs::lockdep
