// The report that the project started from: a fault, the cache's write side and a memory map, done
// by three tasks, none of which waited for another; and the project's own form of it, in which a
// request's context goes to the thread that stores.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/graph_snapshot.h"
#include "lockdep/report_text.h"
#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constinit ClassKey kInvalidateLock{"mapping.invalidate_lock", {.inner = Wait::kAdaptive}};
constinit ClassKey kSbWriters{"sb_writers", kMapRules};
constinit ClassKey kMmapLock{"&mm->mmap_lock", {.inner = Wait::kAdaptive}};

class NoNames final : public Symbolizer {
 public:
  std::vector<Frame> resolve(uintptr_t address) override { return {{.address = address}}; }
};

std::vector<std::string> names(const Report& report) {
  std::vector<std::string> found;
  for (const ReportedEdge& edge : report.chain) {
    found.push_back(report.classes[edge.from.class_index].name + " --> " +
                    report.classes[edge.to.class_index].name);
  }
  return found;
}

TEST(FoundingScenario, ThreeTasksGiveTheChainOfTheDocument) {
  World world;
  Instance invalidate(kInvalidateLock);
  Instance writers(kSbWriters);
  Instance mmap(kMmapLock);
  Actor(world, "removexattr").read(writers).read(mmap).drop_all();     // #2
  Actor(world, "readpage").read(invalidate).read(writers).drop_all();  // #1
  EXPECT_THAT(world.reports, IsEmpty());
  Actor holetest(world, "holetest");
  holetest.read(mmap).read(invalidate);  // #0
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  const Report& report = world.reports[0];
  EXPECT_THAT(names(report), ElementsAre("&mm->mmap_lock --> mapping.invalidate_lock",
                                         "mapping.invalidate_lock --> sb_writers",
                                         "sb_writers --> &mm->mmap_lock"));
  EXPECT_EQ(report.classes[report.taking.class_index].name, "mapping.invalidate_lock");
  EXPECT_EQ(report.classes[report.holding->class_index].name, "&mm->mmap_lock");
  ASSERT_EQ(report.held.size(), 1U);
  EXPECT_EQ(report.classes[report.held[0].class_index].name, "&mm->mmap_lock");
  EXPECT_EQ(report.context.name, "holetest");
  const ReportedClass& writers_class = report.classes[report.chain[1].to.class_index];
  EXPECT_EQ(writers_class.wait_outer, 0U);  // {0:0}, as in the document
  EXPECT_EQ(writers_class.wait_inner, 0U);
}

// The same as a page: its parts in the order of the document.  All three are readers, which are
// shown as such.
TEST(FoundingScenario, ThreeTasksGiveThePageOfTheDocument) {
  World world;
  Instance invalidate(kInvalidateLock);
  Instance writers(kSbWriters);
  Instance mmap(kMmapLock);
  Actor(world, "removexattr").read(writers).read(mmap).drop_all();
  Actor(world, "readpage").read(invalidate).read(writers).drop_all();
  Actor holetest(world, "holetest");
  holetest.read(mmap).read(invalidate);
  ASSERT_EQ(world.reports.size(), 1U);
  NoNames symbolizer;
  const std::string page = report_text(world.reports[0], symbolizer, {});
  size_t at = 0;
  for (const char* part :
       {"WARNING: possible circular locking dependency detected\n",
        "holetest/",
        " is trying to acquire lock:\n",
        "(mapping.invalidate_lock)",
        "\n\nbut task is already ",
        "holding lock:\n",
        "(&mm->mmap_lock)",
        "\n\nwhich lock already depends on the new lock.\n\n\n",
        "the existing dependency chain (in reverse order) is:\n\n",
        "-> #2 (&mm->mmap_lock)",
        "\n-> #1 (sb_writers)",
        "\n-> #0 (mapping.invalidate_lock)",
        "\nother info that might help us debug this:\n\nChain exists of:\n",
        "  mapping.invalidate_lock --> sb_writers --> &mm->mmap_lock\n\n",
        " Possible unsafe locking scenario:\n\n",
        "       CPU0                    CPU1\n       ----                    ----\n",
        "lock(&mm->mmap_lock);\n",
        "lock(sb_writers);\n",
        "lock(&mm->mmap_lock);\n",
        "lock(mapping.invalidate_lock);\n\n *** DEADLOCK ***\n\n",
        "1 lock held by holetest/",
        " #0: ",
        "\nstack backtrace:\n"}) {
    const size_t found = page.find(part, at);
    ASSERT_NE(found, std::string::npos) << "no '" << part << "' in its place:\n" << page;
    at = found + std::string(part).size();
  }
}

TEST(FoundingScenario, TheGraphHoldsWhatWasDoneAndWhatWasDeclared) {
  World world;
  Instance invalidate(kInvalidateLock);
  Instance writers(kSbWriters);
  world.validator.declare_order(kSbWriters, kMmapLock);
  Actor(world, "readpage").read(invalidate).read(writers).drop_all();
  const GraphSnapshot graph = take_snapshot(world.validator);
  ASSERT_EQ(graph.edges.size(), 2U);
  for (const GraphEdge& edge : graph.edges) {
    EXPECT_EQ(edge.declared, graph.classes[edge.from].identity.name == "sb_writers");
  }
}

constinit ClassKey kFuseFault{"fuse.fault", kMapRules};
constinit ClassKey kCacheSbWriters{"cache.sb_writers", kMapRules};

TEST(FoundingScenario, AStoreInAThreadThatAdoptedAFaultIsLikelyThoughNobodyFaulted) {
  World world;
  Map fault(kFuseFault);
  Map writers(kCacheSbWriters);
  // Who is in the cache's write side may fault and then waits for us.
  world.validator.declare_order(kCacheSbWriters, Mode::kRead, kFuseFault, Mode::kRead);
  Context request(world.validator, "read 42");
  world.validator.acquire(request, fault, {.mode = Mode::kRead}, 1);

  Actor worker(world, "offload");
  worker.read(writers).drop_all();  // the real build: a worker without the request
  EXPECT_THAT(world.reports, IsEmpty());

  Actor completion(world, "completion");
  {
    const Adopt adopt(&completion.context, request);
    completion.read(writers).drop_all();
  }
  ASSERT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));
  const Report& report = world.reports[0];
  EXPECT_THAT(names(report),
              ElementsAre("fuse.fault --> cache.sb_writers", "cache.sb_writers --> fuse.fault"));
  EXPECT_TRUE(report.chain[1].declared);
  EXPECT_EQ(report.context.name, "completion");
  ASSERT_EQ(report.held.size(), 1U);
  EXPECT_EQ(report.classes[report.held[0].class_index].name, "fuse.fault");
  world.validator.release(request, fault, 1);
}

}  // namespace
}  // namespace netfs::lockdep
