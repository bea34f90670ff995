// Halves of an inversion that different runs did: each World here is a run of its own, and only
// bytes go from one to the next.

#include "lockdep/saved_graph.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>

#include "lockdep/module_of.h"
#include "lockdep/report_text.h"
#include "lockdep/saved_graph_file.h"
#include "lockdep/saved_graph_text.h"
#include "lockdep/saved_symbolizer.h"
#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Two places of this program that make threads.
uintptr_t site(int which) {
  return reinterpret_cast<uintptr_t>(&site) + static_cast<uintptr_t>(which) + 1;
}

// One run of a program with three locks.
struct Process {
  explicit Process(int64_t process_id) : process(process_id) {}

  // What came from other runs, as a file would bring it.
  void seed(const std::string& text) {
    before = MUST(decode_saved_graph(text));
    world.validator.seed(before);
  }
  [[nodiscard]] std::string saved() {
    return encode(world.validator.save({.program = "server", .process = process, .time_ns = 1}));
  }
  // A new context, of the code at `made_at` (0: unknown), that takes `first` and `second` under it.
  Actor& does(const char* name, int made_at, const Instance& first, const Instance& second) {
    Actor& actor = context(name, made_at);
    actor.take(first).take(second).drop_all();
    return actor;
  }
  Actor& context(const char* name, int made_at) {
    actors.push_back(std::make_unique<Actor>(world, name));
    if (made_at != 0) world.validator.born(actors.back()->context, site(made_at));
    return *actors.back();
  }
  const Report& only_report() {
    EXPECT_EQ(world.reports.size(), 1U);
    static const Report kNone;
    return world.reports.empty() ? kNone : world.reports.front();
  }

  ClassKey key_a{"a"}, key_b{"b"}, key_c{"c"};
  Instance a{key_a}, b{key_b}, c{key_c};
  int64_t process;
  SavedGraph before;
  World world;
  std::vector<std::unique_ptr<Actor>> actors;
};

// A run in which a thread made at site 1 takes b under a, while another thread lives.
std::string first_half() {
  Process run(100);
  run.context("idle", 0);
  run.does("t1", 1, run.a, run.b);
  EXPECT_THAT(run.world.reports, IsEmpty());
  return run.saved();
}

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
  EXPECT_THAT(text, HasSubstr("netfs::lockdep::(anonymous namespace)::site+0x5/0x"));
  EXPECT_THAT(text, HasSubstr("saved_graph_test.cc:"));
  EXPECT_THAT(text, HasSubstr("... by t1/0 at 20"));
  EXPECT_THAT(text, HasSubstr(" in another run, server/100\n"));
  // All other addresses are this process's.
  EXPECT_EQ(symbolizer.resolve(ip).back().function, live.resolve(ip).back().function);
}

class SavedGraphFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "saved_graph_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = name + "/locks.graph";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

  std::string folder_;
  std::string path_;
};

TEST_F(SavedGraphFile, EachRunAddsWhatItDidToTheFile) {
  ASSERT_TRUE(add_to_saved_graph(path_, MUST(decode_saved_graph(first_half()))).ok());
  Process second(200);
  second.seed(encode(MUST(read_saved_graph(path_))));
  second.does("t2", 2, second.b, second.c);
  ASSERT_TRUE(add_to_saved_graph(path_, MUST(decode_saved_graph(second.saved()))).ok());
  const SavedGraph all = MUST(read_saved_graph(path_));
  EXPECT_EQ(all.edges.size(), 2U);
  EXPECT_EQ(all.runs.size(), 2U);
}

TEST_F(SavedGraphFile, ADamagedFileIsNamedAndStaysAsItIs) {
  write("lockdep-graph 1\nhalf");
  const Result<SavedGraph> graph = read_saved_graph(path_);
  ASSERT_TRUE(graph.is_error(EBADMSG));
  const std::string line = path_ + " is cut short or damaged: its checksum is not right";
  EXPECT_EQ(graph.error().message(), line);
  const Result<> added = add_to_saved_graph(path_, SavedGraph());
  ASSERT_TRUE(added.is_error(EBADMSG));
  EXPECT_EQ(added.error().message(), line);
  EXPECT_EQ(std::filesystem::file_size(path_), 20U);
}

TEST_F(SavedGraphFile, WhatCannotBeReadOrWrittenIsToldWithItsName) {
  EXPECT_TRUE(read_saved_graph(path_).is_error(ENOENT));
  EXPECT_TRUE(read_saved_graph(folder_).is_error(EINVAL));
  const std::string nowhere = folder_ + "/none/locks.graph";
  const Result<> wrote = write_saved_graph(nowhere, SavedGraph());
  ASSERT_TRUE(wrote.is_error(ENOENT));
  EXPECT_THAT(wrote.error().message(), HasSubstr(nowhere));
  EXPECT_TRUE(add_to_saved_graph(nowhere, SavedGraph()).is_error(ENOENT));
}

TEST(SavedGraphMerger, FilesOfTwoProcessesHaveTheWholeCircle) {
  Process second(200);
  second.context("idle", 0);
  second.does("t2", 2, second.b, second.a);
  SavedGraphMerger merger;
  merger.add(MUST(decode_saved_graph(first_half())));
  merger.add(MUST(decode_saved_graph(second.saved())));
  const SavedGraph all = MUST(decode_saved_graph(encode(merger.take())));
  EXPECT_EQ(all.runs.size(), 2U);
  EXPECT_EQ(all.classes.size(), 2U);
  World reader;
  reader.validator.seed(all);
  reader.validator.check_seeded();
  ASSERT_THAT(reader.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  const Report& report = reader.reports[0];
  EXPECT_TRUE(report.joined);
  EXPECT_NE(report.chain[0].run, report.chain[1].run);
  EXPECT_EQ(report.context.name, report.chain[0].context.name);
}

TEST(SavedGraphMerger, WhatManyRunsDoAlikeDoesNotGrow) {
  SavedGraphMerger merger;
  std::string once;
  for (int64_t process = 1; process <= 50; ++process) {
    Process run(process);
    run.context("idle", 0);
    run.does("t1", 1, run.a, run.b);
    run.does("t2", 2, run.b, run.c);
    const SavedGraph graph = MUST(decode_saved_graph(run.saved()));
    if (process == 1) once = encode(graph);
    merger.add(graph);
    merger.add(graph);
  }
  EXPECT_EQ(encode(merger.take()), once);
}

TEST(SavedGraphMerger, EveryStrengthOfADependencyIsKept) {
  SavedGraphMerger merger;
  for (int64_t process = 1; process <= 8; ++process) {
    Process run(process);
    run.context("idle", 0);
    const How held{.mode = process % 2 == 0 ? Mode::kWrite : Mode::kRead};
    const How taken{.mode = process > 6 ? Mode::kRecursiveRead : Mode::kWrite};
    run.context("t", static_cast<int>(process)).take(run.a, held).take(run.b, taken).drop_all();
    merger.add(MUST(decode_saved_graph(run.saved())));
  }
  const SavedGraph all = merger.take();
  ASSERT_EQ(all.edges.size(), 1U);
  EXPECT_EQ(all.edges[0].witnesses.size(), SavedGraph::kWitnessesMax);
  World reader;
  reader.validator.seed(all);
  EXPECT_EQ(reader.validator.edges().at(0).kinds, kSN | kEN | kER | kSR);
}

TEST(SavedGraphText, AnyByteChangedOrMissingIsFoundBeforeAnyIsBelieved) {
  const std::string text = first_half();
  EXPECT_EQ(encode(MUST(decode_saved_graph(text))), text);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(decode_saved_graph(damaged).ok()) << "byte " << i;
    EXPECT_FALSE(decode_saved_graph(std::string_view(text).substr(0, i)).ok()) << "cut at " << i;
  }
  EXPECT_FALSE(decode_saved_graph(text + "k a a 0 0 0 0\n").ok());
}

TEST(SavedGraphText, WhatIsRefusedIsToldInOneClearLine) {
  const auto message = [](std::string_view text) {
    const Result<SavedGraph> graph = decode_saved_graph(text);
    return graph.ok() ? std::string() : graph.error().message();
  };
  EXPECT_EQ(message(""), "is no saved lock graph");
  EXPECT_EQ(message("#!/bin/sh\n"), "is no saved lock graph");
  EXPECT_EQ(message("lockdep-graph 2\n"),
            "is a saved lock graph of version 2; this lockdep reads version 1");
  EXPECT_EQ(message("lockdep-graph 1\n"), "is cut short or damaged: its checksum is not right");
  for (const char* line :
       {"x 1", "k a", "k a a 8 0 0 0", "p 0 1", "e 0 1", "w 0", "g 0 -", "m %4 a", "m a  b",
        "m a b ", "c 0 a 1 1 0 0", "r a 99999999999999999999 1", "m", ""}) {
    const std::string body = std::string("lockdep-graph 1\n") + line + "\n";
    EXPECT_EQ(message(body + saved_graph_end(body)), "is damaged: line 2 makes no sense") << line;
  }
}

TEST(ModuleOf, CodeAndDataOfThisProgramHaveTheSameStablePlaceInEveryRun) {
  static int data;
  Module module;
  ASSERT_TRUE(module_of(reinterpret_cast<uintptr_t>(&data), module));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(&site) - module.bias < 1'000'000'000U, true);
  char code[128];
  char more[128];
  ASSERT_NE(stable_place(site(1), code, sizeof code), 0U);
  ASSERT_NE(stable_place(reinterpret_cast<uintptr_t>(&data), more, sizeof more), 0U);
  const std::string of_code = code;
  const std::string of_data = more;
  EXPECT_EQ(of_code.substr(0, of_code.find('+')), of_data.substr(0, of_data.find('+')));
  EXPECT_NE(of_code, of_data);
  EXPECT_THAT(of_code, HasSubstr("+0x"));
  // Neither heap nor stack lies in a module, and a short buffer is not run over.
  EXPECT_EQ(stable_place(reinterpret_cast<uintptr_t>(code), more, sizeof more), 0U);
  const std::string before(code + 4);
  EXPECT_EQ(stable_place(site(1), code, 4), 3U);
  EXPECT_EQ(code + 4, before);
}

}  // namespace
}  // namespace netfs::lockdep
