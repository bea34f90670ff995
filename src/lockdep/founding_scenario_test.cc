// The report that the project started from: a fault, the cache's write side and a memory map, done
// by three tasks, none of which waited for another; and the project's own form of it, in which a
// request's context goes to the thread that stores.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constinit ClassKey kInvalidateLock{"mapping.invalidate_lock", {.inner = Wait::kAdaptive}};
constinit ClassKey kSbWriters{"sb_writers", kMapRules};
constinit ClassKey kMmapLock{"&mm->mmap_lock", {.inner = Wait::kAdaptive}};

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
