// `lockdep run` changes nothing of what a program does (scenarios_as_it_is.cc, cxx_plugin.cc).

#include <cstdio>
#include <gtest/gtest.h>

#include "tests/lockdep/run_support.h"

namespace {

TEST(LockdepAsItIs, AProgramThatDoesNotLookAtItsLocksDoesWhatItDidBefore) {
  for (const char* name : {"thread_returns_new", "signal_interrupts", "handlers_read_back"}) {
    const Ran ran = run("", scenario(name));
    EXPECT_EQ(ran.status, 0) << name;
    EXPECT_EQ(ran.out, "") << name;
  }
}

TEST(LockdepAsItIs, ARobustMutexThatNobodyCanRecoverSaysSoEveryTime) {
  ASSERT_EQ(shell(scenario("robust_not_recoverable")).status, 0);
  for (const char* options : {"-o /dev/null", "-o /dev/null --histograms"}) {
    EXPECT_EQ(run(options, "timeout 60 " + scenario("robust_not_recoverable")).status, 0);
  }
}

TEST(LockdepAsItIs, TheNumbersOfDescriptorsAreTheProgramsOwn) {
  ASSERT_EQ(shell(scenario("low_descriptors_closed")).status, 0);
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(run("", "timeout 60 " + scenario("low_descriptors_closed")).status, 0);
  }
}

TEST(LockdepAsItIs, ADescriptorThatTheProgramHasTakenAgainIsNotClosed) {
  ASSERT_EQ(shell("ulimit -n 1024; " + scenario("descriptors_taken_again")).status, 0);
  const Ran ran = shell("ulimit -n 1024; exec timeout 60 " LOCKDEP " run -- " +
                        scenario("descriptors_taken_again"));
  EXPECT_EQ(ran.status, 0) << ran.out;
}

TEST(LockdepAsItIs, AThreadThatIsCancelledInAReportEndsAndTheProgramDoesNot) {
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(run("", "timeout 60 " + scenario("cancelled_at_once")).status, 0);
  }
}

TEST(LockdepAsItIs, UnderALowLimitOfOpenFilesReportsStillComeToStderr) {
  const Ran ran = shell("ulimit -n 60; exec " LOCKDEP " run -- " + scenario("abba"));
  EXPECT_TRUE(has(ran.out, "lockdep: LIKELY")) << ran.out;
}

TEST(LockdepAsItIs, WithLittleMemoryLeftAReportHasNoNamesAndTheProgramGoesOn) {
  for (const char* limit : {"60000", "80000", "120000"}) {
    const Ran ran =
        shell("ulimit -v " + std::string(limit) + "; exec " LOCKDEP " run -- " + scenario("abba"));
    EXPECT_EQ(ran.status, 0) << limit << ": " << ran.out;
    EXPECT_TRUE(has(ran.out, "lockdep: LIKELY")) << limit << ": " << ran.out;
  }
}

TEST(LockdepAsItIs, AProgramWhoseThreadsHaveEndedIsOneWithoutThreads) {
  EXPECT_EQ(run("", scenario("alone_again")).status, 0);
}

TEST(LockdepAsItIs, AProcessWhoseFirstThreadLeftEndsWithItsLast) {
  for (const char* options : {"", "--watchdog 0"}) {
    const Ran ran = run(options, "timeout 60 " + scenario("first_thread_ends_first"));
    EXPECT_EQ(ran.status, 0) << options;
    EXPECT_EQ(ran.out, "the last\n") << options;
  }
}

TEST(LockdepAsItIs, ExitHandlersGetTheProgramsSignals) {
  ASSERT_EQ(shell(scenario("signals_at_exit")).status, 0);
  EXPECT_EQ(run("", "timeout 60 " + scenario("signals_at_exit")).status, 0);
}

// One static, the same numbers, and a refusal that is an exception: 1 thousand, 7 hundred, 7
// tens, 1.
TEST(LockdepAsItIs, APluginMayBringTheCxxLibraryOfAProgramThatHasNone) {
  const std::string program = PLAIN_PROGRAM " " CXX_PLUGIN;
  ASSERT_EQ(shell(program).out, "1771\n");
  const Ran ran = run("", "timeout 60 " + program);
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "1771\n");
}

TEST(LockdepAsItIs, APluginThatAllocatesWhileItIsLoadedDoesNotWaitForUs) {
  const Ran ran = shell("LD_PRELOAD=libstdc++.so.6 exec " LOCKDEP
                        " run -- timeout 60 " PLAIN_PROGRAM " " CXX_PLUGIN);
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "1771\n");
}

TEST(LockdepAsItIs, ValgrindIsRefusedAndAChildThatIsRunUnderItIsLeftAlone) {
  if (shell("command -v valgrind").status != 0) GTEST_SKIP() << "SKIPPED: needs valgrind";
  const Ran refused = run("", "valgrind /bin/true");
  EXPECT_EQ(refused.status, 126) << refused.out;
  EXPECT_EQ(count(refused.out, "\n"), 1U) << refused.out;
  const Ran ran = run("", "sh -c 'valgrind --error-exitcode=9 " + scenario("abba") + "'");
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_TRUE(has(ran.out, "lockdep: not under valgrind")) << ran.out;
  EXPECT_TRUE(has(ran.out, "ERROR SUMMARY: 0 errors")) << ran.out;
}

TEST(LockdepAsItIs, ASanitizersProgramIsRefusedInOneLine) {
  for (const char* sanitizer : {"thread", "address"}) {
    const std::string program = fresh_file(sanitizer);
    ASSERT_EQ(shell("echo 'int main() {}' | g++ -x c++ - -fsanitize=" + std::string(sanitizer) +
                    " -o " + program)
                  .status,
              0);
    const Ran ran = run("", program);
    EXPECT_EQ(ran.status, 126) << ran.out;
    EXPECT_TRUE(has(ran.out, program + ": is built with ")) << ran.out;
    EXPECT_EQ(count(ran.out, "\n"), 1U) << ran.out;
    (void)std::remove(program.c_str());
  }
}

}  // namespace
