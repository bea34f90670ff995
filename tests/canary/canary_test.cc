// Goal: a build whose sanitizers or validator see nothing would pass everything.  Each canary
// program has one bug and must be stopped with the report of its sanitizer, or fail the run.

#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <string>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {
namespace {

bool built(const std::string& bug) {
  return ("," + std::string(CANARIES)).find("," + bug + ",") != std::string::npos;
}

Finished run_canary(const std::string& bug) {
  return run({std::string(CANARY_DIR) + "/canary_" + bug}, std::chrono::seconds(60));
}

void expect_report(const std::string& bug, const std::string& report) {
  if (!built(bug)) {
    std::printf("the canary %s is for another sanitizer than this build's\n", bug.c_str());
    return;
  }
  const Finished finished = run_canary(bug);
  EXPECT_NE(finished.status, 0) << finished.output;
  EXPECT_NE(finished.output.find(report), std::string::npos) << finished.output;
}

TEST(Canary, AddressSanitizerStopsAUseAfterFree) {
  expect_report("use_after_free", "heap-use-after-free");
}

TEST(Canary, UndefinedBehaviorSanitizerStopsAnOverflow) {
  expect_report("overflow", "signed integer overflow");
}

TEST(Canary, ThreadSanitizerReportsADataRace) {
  expect_report("race", "data race");
}

// The seeded inversion goes the way that one of netfs would go: a report in the folder, and the
// check that scripts/test ends with fails.
TEST(Canary, ALockOrderThatMayDeadlockFailsTheRun) {
  if (!built("lock_order")) GTEST_SKIP() << "SKIPPED: a build without NETFS_LOCKDEP";
  const TempDir folder;
  const Finished canary = run({std::string(CANARY_DIR) + "/canary_lock_order", folder.path()},
                              std::chrono::seconds(30));
  EXPECT_EQ(canary.status, 0) << canary.output;  // it goes on whatever was found
  const Finished check = run({LOCKDEP_CHECK, folder.path()}, std::chrono::seconds(30));
  EXPECT_EQ(check.status, 1) << check.output;
  EXPECT_NE(check.output.find("possible circular locking dependency detected"), std::string::npos)
      << check.output;
  EXPECT_NE(check.output.find("canary.first"), std::string::npos) << check.output;
}

TEST(Canary, AnOrderThatThePageDoesNotAllowFailsTheRun) {
  const TempDir folder;
  std::ofstream(folder / "graph-x-1.txt") << "vfs.inode_table\tfuse.backing\n";
  EXPECT_EQ(run({LOCKDEP_CHECK, folder.path()}, std::chrono::seconds(30)).status, 0);
  std::ofstream(folder / "graph-x-1.txt") << "fuse.backing\tvfs.inode_table\n";
  const Finished check = run({LOCKDEP_CHECK, folder.path()}, std::chrono::seconds(30));
  EXPECT_EQ(check.status, 1) << check.output;
}

TEST(Canary, AtLeastOneCanaryIsBuilt) {
  EXPECT_NE(std::string(CANARIES), "");
}

}  // namespace
}  // namespace netfs::test
