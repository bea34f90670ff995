// The harness itself: a figure is worth what takes it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/kill_process.h"
#include "base/unique_fd.h"
#include "harness/content.h"
#include "harness/cpu.h"
#include "harness/jobs.h"
#include "harness/mount.h"
#include "harness/patterns.h"
#include "harness/process.h"
#include "harness/report.h"
#include "harness/runner.h"
#include "harness/workdir.h"

namespace netfs::bench {
namespace {

class Harness : public testing::Test {
 protected:
  Harness() : work_(MUST(Workdir::create("/tmp"))) {}  // A test without /tmp cannot go on.
  FileSpec file(uint64_t size_bytes) {
    FileSpec spec{work_.path("file"), 3, size_bytes};
    EXPECT_TRUE(make_file(spec).ok());
    return spec;
  }
  Workdir work_;
};

TEST_F(Harness, WorkdirIsRemovedWithAllBelowIt) {
  std::string root;
  {
    Workdir work = MUST(Workdir::create("/tmp"));  // As above.
    root = work.root();
    ASSERT_TRUE(make_tree(work.path("tree"), {.count = 20, .per_directory = 5}).ok());
    EXPECT_EQ(::access(work.path("tree/d003/f000019").c_str(), F_OK), 0);
  }
  EXPECT_NE(::access(root.c_str(), F_OK), 0);
}

TEST_F(Harness, AWrongByteAndAWrongLengthAreFound) {
  FileSpec spec = file(3 << 20);
  EXPECT_TRUE(verify_file(spec).ok());
  UniqueFd fd(::open(spec.path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, 2'000'001), 1);
  EXPECT_TRUE(verify_file(spec).is_error(EBADMSG));
  ASSERT_TRUE(make_file(spec).ok());
  ASSERT_EQ(::ftruncate(fd.get(), (3 << 20) - 8), 0);
  EXPECT_TRUE(verify_file(spec).is_error(EBADMSG));
}

TEST_F(Harness, PatternsCountWhatTheyReadAndRefuseOtherContent) {
  FileSpec spec = file(1 << 20);
  Result<Work> all = read_sequential(spec, 64 << 10);
  ASSERT_TRUE(all.ok()) << all.error().message();
  EXPECT_EQ(all.value().units, 1U << 20);
  Result<Work> some = read_random(spec, {.jobs = 3, .count = 50});
  ASSERT_TRUE(some.ok()) << some.error().message();
  EXPECT_EQ(some.value().units, 150U);
  Result<Work> pages = touch_mapping(spec, 70);
  ASSERT_TRUE(pages.ok()) << pages.error().message();
  EXPECT_EQ(pages.value().units, 70U);
  FileSpec other = spec;
  other.seed = 4;
  EXPECT_TRUE(read_sequential(other, 64 << 10).is_error(EBADMSG));
  EXPECT_TRUE(read_random(other, {.jobs = 2, .count = 5}).is_error(EBADMSG));
}

TEST_F(Harness, LatenciesNeverReadAPlaceTwice) {
  FileSpec spec = file(1 << 20);
  Result<std::vector<double>> all = random_latencies(spec, {.count = 1000, .block_bytes = 65536});
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all.value().size(), 16U);  // the file has no more
}

TEST_F(Harness, AJobThatFailsBeforeTheGateDoesNotStopTheOthers) {
  Result<Work> work = run_jobs(3, [](unsigned job, Gate& gate) -> Result<uint64_t> {
    if (job == 1) return Error(ENOENT, "test", "no such thing");
    gate.wait();
    return 1;
  });
  ASSERT_TRUE(work.is_error(ENOENT));
  EXPECT_EQ(work.error().message(), "no such thing");
}

TEST_F(Harness, AJobThatDiesIsAnErrorNotAZero) {
  Result<Work> work = run_jobs(2, [](unsigned job, Gate& gate) -> Result<uint64_t> {
    gate.wait();
    if (job == 0) ::_exit(0);
    return 1;
  });
  EXPECT_TRUE(work.is_error(ECHILD));
}

Side fake_side(const std::string& name, std::vector<std::string>& order,
               const std::vector<double>& figures) {
  auto at = std::make_shared<size_t>(0);
  Side side{.name = name};
  side.run = [&order, name, figures, at]() -> Result<Work> {
    order.push_back(name);
    return Work{.seconds = 1, .units = 1, .figure = figures[(*at)++]};
  };
  return side;
}

TEST_F(Harness, RoundsAlternateTheirOrderAndRatiosAreOfTheSameRound) {
  std::vector<std::string> order;
  RowResult row =
      run_row({.name = "test"},
              {fake_side("a", order, {10, 40, 90}), fake_side("b", order, {10, 20, 30})}, 3);
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b", "b", "a", "a", "b"}));
  EXPECT_EQ(row.sides[0].median, 40);
  EXPECT_EQ(row.sides[1].ratio, 2);
  EXPECT_EQ(row.sides[1].ratio_min, 1);
  EXPECT_EQ(row.sides[1].ratio_max, 3);
  EXPECT_FALSE(row.failed());
}

TEST_F(Harness, ASlowPeerSitsOutTheRoundsThatItHasNoTimeFor) {
  std::vector<std::string> order;
  std::vector<Side> sides;
  for (const char* name : {"a", "b", "c"}) {
    Side side{.name = name};
    side.run = [&order, name] {
      order.push_back(name);
      return Result<Work>(Work{.seconds = 10, .units = 1});
    };
    sides.push_back(std::move(side));
  }
  sides[1].seconds_max = 25;
  sides[2].seconds_max = 5;
  const RowResult row = run_row({.name = "test"}, std::move(sides), 3);
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b", "c", "b", "a", "a"}));
  EXPECT_FALSE(row.failed());
}

TEST_F(Harness, ASideThatFailsSaysWhyAndTheOthersGoOn) {
  std::vector<std::string> order;
  Side broken{.name = "broken"};
  broken.run = []() -> Result<Work> { return Error(EIO, "test", "it broke"); };
  RowResult row = run_row({.name = "test"}, {broken, fake_side("b", order, {1, 2, 3})}, 3);
  EXPECT_TRUE(row.failed());
  EXPECT_EQ(row.sides[0].failure, "round 1: it broke");
  EXPECT_EQ(row.sides[1].samples.size(), 3U);
  nlohmann::json rows = nlohmann::json::array({to_json(row)});
  EXPECT_NE(markdown_table(rows).find("broken: failed"), std::string::npos);
  EXPECT_NE(markdown_notes(rows).find("it broke"), std::string::npos);
}

TEST_F(Harness, CpuOfAProcessTreeIsSeenWhileItRuns) {
  std::string flag = work_.path("done");
  Process shell = MUST(Process::start(  // Without a shell there is nothing to test.
      {.argv = {"sh", "-c",
                "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; : >" + flag +
                    "; exec sleep 60'; :"}}));
  auto before = cpu_seconds_of({shell.pid()});
  // The shell does not end by itself: the wait is cut short by the flag alone.
  for (int i = 0; i < 300 && ::access(flag.c_str(), F_OK) != 0; ++i) {
    ASSERT_TRUE(shell.wait(std::chrono::milliseconds(100)).is_error(ETIMEDOUT));
  }
  ASSERT_EQ(::access(flag.c_str(), F_OK), 0);
  EXPECT_GT(cpu_seconds_between(before, cpu_seconds_of({shell.pid()})), 0.01);
  EXPECT_EQ(process_tree({shell.pid()}).size(), 2U);
  EXPECT_GT(memory_of({shell.pid()}, "sh").rss_bytes, 100'000U);
  for (pid_t pid : process_tree({shell.pid()})) kill_process(pid, SIGKILL);
}

TEST_F(Harness, AProgramThatEndsInsteadOfMountingIsAnErrorThatNamesIt) {
  Result<Mount> mount =
      Mount::start({.argv = {"false", "mount", "x"}, .log = work_.path("log")}, work_.path("m"));
  ASSERT_TRUE(mount.is_error(EIO));
  EXPECT_NE(mount.error().message().find("false ended"), std::string::npos);
}

}  // namespace
}  // namespace netfs::bench
