// Goal: a build whose sanitizers see nothing would pass everything.  Each canary program has one
// bug and must be stopped with the report of its sanitizer.

#include <gtest/gtest.h>
#include <map>
#include <string>

#include "tests/support/process.h"

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

TEST(Canary, AtLeastOneCanaryIsBuilt) {
  EXPECT_NE(std::string(CANARIES), "");
}

}  // namespace
}  // namespace netfs::test
