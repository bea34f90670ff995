// `lockdep run` where it is hard: what hangs, what is odd about the program or the files that it is
// given, very much of everything, and what several runs did together.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lockdep/run_support.h"

namespace {

// Asks until the threads hang; what it prints of the program comes after.
TEST(LockdepHang, IsReportedWhileItLastsAndDumpTellsWhoWaitsForWhom) {
  const std::string file = fresh_file("hang");
  const Ran ran = shell(std::string(LOCKDEP) + " run -o " + file + " -- " + scenario("hang") +
                        " & pid=$!; i=0; while [ $i -lt 400 ]; do"
                        " " +
                        LOCKDEP + " dump $pid >" + file +
                        ".dump 2>/dev/null;"
                        " grep -q PROVED " +
                        file + " && grep -q '^[23] contexts wait' " + file +
                        ".dump && break; i=$((i+1)); sleep 0.1; done;"
                        " kill -KILL $pid; cat " +
                        file + ".dump; echo ---; cat " + file);
  // The two, and perhaps the main thread already, which joins them.
  EXPECT_TRUE(has(ran.out, "2 contexts wait for locks") ||
              has(ran.out, "3 contexts wait for locks"))
      << ran.out;
  EXPECT_TRUE(has(ran.out, "PROVED: possible circular")) << ran.out;
  EXPECT_GE(count(ran.out, "scenarios_process.cc"), 4U) << "both stacks of both: " << ran.out;
  (void)std::remove(file.c_str());
  (void)std::remove((file + ".dump").c_str());
}

TEST(LockdepHang, AForkWhileAnotherThreadReportsLeavesAChildThatCanReport) {
  const std::string file = fresh_file("fork");
  const Ran ran = run("-o " + file, scenario("fork_while_reporting"));
  EXPECT_EQ(ran.status, 0) << ran.out;
  const std::string text = shell("grep -c '^lockdep: LIKELY' " + file).out;
  EXPECT_GE(std::atoi(text.c_str()), 24) << text;
  (void)std::remove(file.c_str());
}

TEST(LockdepProcess, ExecStartsAnewAndTheExitCodeIsTheLastPrograms) {
  const Ran ran = run("", scenario("exec_abba"));
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(count(ran.out, "lockdep: LIKELY"), 1U) << ran.out;
}

TEST(LockdepProcess, ThreadsThatRunOnAndDestructorsThatLockAtTheEndDoNoHarm) {
  for (const char* name :
       {"exit_while_threads_run", "lock_at_the_end", "ten_thousand_threads", "pairs"}) {
    const Ran ran = run("", scenario(name));
    EXPECT_EQ(ran.status, 0) << name;
    EXPECT_EQ(ran.out, "") << name;
  }
}

TEST(LockdepProcess, AMallocThatLocksAndLocksBeforeAnyConstructorWork) {
  const Ran ran = run("", OWN_MALLOC);
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_EQ(count(ran.out, "lockdep: LIKELY: possible circular"), 1U) << ran.out;
  EXPECT_TRUE(has(ran.out, "lock_a")) << ran.out;
}

TEST(LockdepProcess, SixtyFourThreadsWithOneBugAreOneReport) {
  const Ran ran = run("", scenario("many_threads_abba"));
  EXPECT_EQ(count(ran.out, "lockdep: "), 1U) << ran.out;
}

TEST(LockdepProcess, AbortEndsTheProgramAfterAReportAndOnlyThen) {
  EXPECT_EQ(run("--abort", scenario("abba")).status, -SIGABRT);
  EXPECT_EQ(run("--abort", scenario("abba_gate")).status, 0);
}

TEST(LockdepProcess, ALockThatAnotherThreadUnlockedIsNotHeldAnyMore) {
  const Ran ran = run("--order-only", scenario("unlocked_by_other_then_on"));
  EXPECT_EQ(count(ran.out, "lockdep: "), 1U) << ran.out;
  EXPECT_TRUE(has(ran.out, "lockdep: PROVED: bad unlock")) << ran.out;
}

TEST(LockdepProcess, AMillionLiveLocksTakeUnderTwoHundredBytesEach) {
  const Ran ran = run("", scenario("million_locks"));
  EXPECT_EQ(ran.status, 0) << ran.out;
  const int bytes = std::atoi(ran.out.c_str());
  EXPECT_GT(bytes, 0) << ran.out;
  EXPECT_LT(bytes, 200) << ran.out;
  std::printf("a live lock takes %d bytes\n", bytes);
}

TEST(LockdepProcess, AnotherLibraryInFrontOfTheLocksGetsItsCallsAsWell) {
  const Ran ran = shell("LD_PRELOAD=" SCENARIOS_PLUGIN " PLUGIN_SAYS=1 exec " LOCKDEP " run -- " +
                        scenario("abba"));
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(count(ran.out, "lockdep: LIKELY"), 1U) << ran.out;
  EXPECT_TRUE(has(ran.out, "the plugin stood before a lock")) << ran.out;
}

TEST(LockdepProcess, ALibraryThatIsLoadedByItsNameAloneIsFoundAndItsLoadingIsSeen) {
  const Ran ran = shell("LD_LIBRARY_PATH=$(dirname " SCENARIOS_PLUGIN ") exec " LOCKDEP " run -- " +
                        scenario("load_abba_by_name"));
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_EQ(count(ran.out, "lockdep: LIKELY: possible circular"), 1U) << ran.out;
}

TEST(LockdepRuns, HalvesOfAnInversionInTwoRunsAreJoined) {
  const std::string graph = fresh_file("graph");
  EXPECT_EQ(run("--save " + graph, scenario("half_ab")).out, "");
  const Ran second = run("--save " + graph + " --exit-code 9", scenario("half_ba"));
  EXPECT_TRUE(has(second.out, "LIKELY: possible circular")) << second.out;
  EXPECT_TRUE(has(second.out, "in another run")) << second.out;
  EXPECT_GE(count(second.out, "scenarios::with+"), 4U) << "stacks with names: " << second.out;
  EXPECT_EQ(second.status, 9);
  (void)std::remove(graph.c_str());
  (void)std::remove((graph + ".lock").c_str());
}

// libstdc++ starts all threads with one function, and one place of the program makes these.
TEST(LockdepRuns, ThreadsOfTheCxxLibraryAreToldApartByWhatTheyRun) {
  const std::string graph = fresh_file("roles");
  for (const char* half :
       {"std_thread_half_ba", "std_thread_half_ba_member", "std_thread_half_ba_lambda"}) {
    shell("rm -f " + graph + "*");
    EXPECT_EQ(run("--save " + graph, scenario("std_thread_half_ab")).out, "");
    const Ran second = run("--save " + graph + " --exit-code 9", scenario(half));
    EXPECT_EQ(second.status, 9) << half;
    EXPECT_EQ(count(second.out, "lockdep: LIKELY: possible circular"), 1U) << half << second.out;
  }
  EXPECT_TRUE(has(shell(LOCKDEP " stat " + graph).out, "thread scenarios::")) << "a name for each";
  shell("rm -f " + graph + "*");
}

TEST(LockdepProcess, AReportWhereAHandlerHasInterruptedMallocDoesNoHarm) {
  const std::string file = fresh_file("malloc");
  // Without these each small request would be met by what a thread keeps at hand, and a malloc in
  // the midst of another would seldom show.
  const std::string no_cache =
      "env GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0 timeout -k 1 200 ";
  const Ran ran = run("-o " + file, no_cache + scenario("handler_in_malloc"));
  EXPECT_EQ(ran.status, 0) << ran.out;
  // A handler that interrupts the validator itself is not watched.
  EXPECT_GE(std::atoi(shell("grep -c '^lockdep: LIKELY' " + file).out.c_str()), 90);
  (void)std::remove(file.c_str());
}

TEST(LockdepProcess, ACancelledThreadGoesOnFromItsReport) {
  const Ran ran = run("", "timeout 60 " + scenario("cancelled_before_report"));
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(count(ran.out, "\nlockdep: "), 0U) << "nothing is held at its end: " << ran.out;
}

TEST(LockdepRuns, AThreadWithLittleStackMayEndTheProgram) {
  const std::string file = fresh_file("little");
  const Ran ran = run("--save " + file, scenario("exit_little_stack"));
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_TRUE(has(shell(LOCKDEP " stat " + file).out, "lock_a")) << ran.out;
  shell("rm -f " + file + "*");
}

TEST(LockdepRuns, ADamagedGraphIsNamedInOneLineAndLeftAsItIs) {
  const std::string graph = fresh_file("damaged");
  std::ofstream(graph) << "lockdep-graph 1\nnonsense\n";
  const Ran ran = run("--save " + graph, scenario("abba"));
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out.rfind("lockdep: ", 0), 0U) << ran.out;
  EXPECT_TRUE(has(ran.out.substr(0, ran.out.find('\n')), graph)) << ran.out;
  EXPECT_EQ(count(ran.out, "lockdep: LIKELY"), 1U) << ran.out;
  EXPECT_EQ(count(ran.out, graph), 1U) << "once: " << ran.out;
  EXPECT_EQ(shell("cat " + graph).out, "lockdep-graph 1\nnonsense\n");
  (void)std::remove(graph.c_str());
  (void)std::remove((graph + ".lock").c_str());
}

// An output that can be made at the start and not written to later is no matter of the program's.
TEST(LockdepBadInput, AnOutputThatGoesAwayIsOneLineAndChangesNothingOfTheProgram) {
  const std::string folder = fresh_file("gone");
  const Ran ran =
      shell("mkdir -p " + folder + "; exec " LOCKDEP " run -o " + folder +
            "/out -- /bin/sh -c 'rm -r " + folder + "; " + scenario("abba") + "; echo $?'");
  EXPECT_EQ(ran.out,
            "lockdep: " + folder + "/out: No such file or directory; reports are lost\n0\n");
  EXPECT_EQ(ran.status, 0);
}

TEST(LockdepBadInput, APipeThatIsReadGetsAllAndOneThatIsNotIsNotWaitedFor) {
  for (const char* option : {"--save", "--stat", "--output"}) {
    const std::string pipe = fresh_file("pipe");
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const std::string words = std::string(option) + " " + pipe;
    const Ran alone = run(words, "timeout 60 " + scenario("abba"));
    EXPECT_EQ(alone.status, 0);
    EXPECT_TRUE(has(alone.out, "No such device or address")) << option << alone.out;
    // Once cat stands in its open: before that nobody reads the pipe.
    const Ran read = shell("timeout 60 cat " + pipe +
                           " & i=0; until grep -qs '(cat) S' /dev/null"
                           " $(sed 's:[0-9][0-9]*:/proc/&/stat:g' /proc/$!/task/$!/children) || [ "
                           "$i -ge 400 ]; do i=$((i+1));"
                           " sleep 0.05; done; " LOCKDEP " run " +
                           words + " -- timeout 60 " + scenario("abba") + " 2>/dev/null; wait");
    EXPECT_TRUE(has(read.out, "lock_a")) << option << read.out;
    EXPECT_EQ(shell("stat -c %F " + pipe).out, "fifo\n") << option;
    (void)std::remove(pipe.c_str());
  }
}

TEST(LockdepBadInput, AProgramWhoseReportsNobodyReadsGoesOn) {
  const Ran ran = shell("exec 3>&1; { sleep 0.2; " LOCKDEP " run -- " + scenario("abba") +
                        "; echo $? >&3; } 2>&1 | true; wait");
  EXPECT_EQ(ran.out, "0\n");
}

TEST(LockdepBadInput, AProgramOfAnotherArchitectureIsRefused) {
  const std::string path = fresh_file("foreign");
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_EXEC;
  header.e_machine = EM_RISCV;
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<char*>(&header), sizeof header);
  ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  const Ran ran = run("", path);
  EXPECT_EQ(ran.status, 126);
  EXPECT_TRUE(has(ran.out, "another architecture")) << ran.out;
  EXPECT_EQ(count(ran.out, "\n"), 1U) << ran.out;
  (void)std::remove(path.c_str());
}

TEST(LockdepBadInput, AProgramThatRunsAsAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: only root can make another user's setuid program";
  const std::string path = fresh_file("setuid");
  shell("cp /bin/true " + path);
  ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
  ASSERT_EQ(::chmod(path.c_str(), 04755), 0);
  const Ran ran = run("", path);
  EXPECT_EQ(ran.status, 126);
  EXPECT_TRUE(has(ran.out, "setuid")) << ran.out;
  EXPECT_EQ(count(ran.out, "\n"), 1U) << ran.out;
  (void)std::remove(path.c_str());
}

TEST(LockdepTimes, AreShownForEachClassWhereTheyWereAskedFor) {
  const std::string file = fresh_file("stat");
  EXPECT_EQ(run("--stat " + file + " --histograms", scenario("ten_thousand_threads")).out, "");
  const std::string text = shell("cat " + file).out;
  EXPECT_TRUE(has(text, "waits    total      p50      p99      max |      holds")) << text;
  EXPECT_TRUE(has(text, "lock_a\n")) << text;
  const size_t row = text.rfind('\n', text.rfind("lock_a\n"));
  const size_t bar = text.find('|', row);
  EXPECT_EQ(std::atoi(text.c_str() + bar + 1), 10'000) << text.substr(row);
  EXPECT_EQ(run("--stat " + file, scenario("abba_gate")).out, "");
  EXPECT_FALSE(has(shell("cat " + file).out, "holds")) << "nobody asked";
  (void)std::remove(file.c_str());
}

TEST(LockdepCommands, EachFormOfSuppressionSilencesAndWhatMatchedNothingIsNamed) {
  const std::string file = fresh_file("suppressions");
  for (const char* entry : {"circular \"*lock_*\" -> \"*lock_*\"", "function scenarios::*",
                            "object lockdep_scenarios"}) {
    std::ofstream(file) << "# known\n" << entry << "\nobject libnothing.so\n";
    const Ran ran = run("--exit-code 9 --suppressions " + file, scenario("abba"));
    EXPECT_EQ(ran.status, 0) << entry << ran.out;
    EXPECT_FALSE(has(ran.out, "LIKELY")) << entry << ran.out;
    EXPECT_EQ(count(ran.out, "\n"), 1U) << ran.out;
    EXPECT_TRUE(has(ran.out, "suppression that matched nothing: ")) << ran.out;
    EXPECT_TRUE(has(ran.out, "object libnothing.so")) << ran.out;
  }
  (void)std::remove(file.c_str());
}

TEST(LockdepCommands, ExplainGraphStatAndMergeReadWhatRunWrote) {
  const std::string base = fresh_file("commands");
  const std::string tool = LOCKDEP " ";
  EXPECT_EQ(run("--json -o " + base + ".json --save " + base + ".one", scenario("half_ab")).out,
            "");
  EXPECT_EQ(run("--save " + base + ".two", scenario("half_ba")).out, "");
  EXPECT_EQ(run("--json -o " + base + ".json", scenario("abba")).status, 0);
  EXPECT_TRUE(has(shell(tool + "explain " + base + ".json").out, "lock_a"));
  EXPECT_TRUE(has(shell(tool + "explain --text " + base + ".json").out, "lockdep: LIKELY"));
  EXPECT_EQ(shell(tool + "graph " + base + ".json").out.rfind("digraph", 0), 0U);
  const Ran drawn =
      shell(tool + "graph -o " + base + ".svg " + base + ".json && cat " + base + ".svg");
  EXPECT_TRUE(has(drawn.out, "<svg")) << drawn.out;
  EXPECT_TRUE(has(shell(tool + "stat " + base + ".one").out, " lock-classes:"));
  const Ran merged =
      shell(tool + "merge --exit-code 7 -o " + base + ".all " + base + ".one " + base + ".two");
  EXPECT_EQ(merged.status, 7) << merged.out;
  EXPECT_EQ(count(merged.out, "lockdep: LIKELY"), 1U) << merged.out;
  EXPECT_TRUE(has(shell(tool + "stat " + base + ".all").out, "lock_b"));
  shell("rm -f " + base + "*");
}

TEST(LockdepCommands, WhatDoesNotComeOutIsSaidInOneLine) {
  const std::string base = fresh_file("lost");
  ASSERT_EQ(run("--json -o " + base + ".json --save " + base + ".graph", scenario("abba")).out, "");
  for (const std::string& words :
       {"explain " + base + ".json", "explain --text " + base + ".json", "graph " + base + ".graph",
        "stat " + base + ".graph", "merge --order-only " + base + ".graph", std::string("--help"),
        std::string("--version"), std::string("merge --help")}) {
    // The figures of a merge go to stderr, before.
    const Ran ran = shell(LOCKDEP " " + words + " >/dev/full 2>&1");
    const Ran said = shell("{ " LOCKDEP " " + words + " 2>&3 >/dev/full; } 3>&1 | grep -v graphs:");
    EXPECT_EQ(ran.status, 1) << words;
    EXPECT_EQ(said.out.rfind("lockdep: stdout: ", 0), 0U) << words << said.out;
    EXPECT_EQ(count(said.out, "\n"), 1U) << words << said.out;
  }
  shell("rm -f " + base + "*");
}

TEST(LockdepCommands, ACutReportIsToldAfterTheWholeOnes) {
  const std::string base = fresh_file("cut");
  ASSERT_EQ(run("--json -o " + base + ".json", scenario("abba")).out, "");
  shell("head -c 300 " + base + ".json >" + base + ".half; cat " + base + ".half >>" + base +
        ".json");
  const Ran ran = shell(LOCKDEP " explain " + base + ".json");
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(count(ran.out, "How sure: likely"), 1U) << ran.out;
  EXPECT_TRUE(has(ran.out, "lockdep: " + base + ".json: its last report is cut short\n"))
      << ran.out;
  shell("rm -f " + base + "*");
}

TEST(LockdepCommands, AProcessIsNamedByADecimalNumber) {
  for (const char* word : {"dump 0x10", "dump -1", "dump none", "dump ''"}) {
    const Ran ran = shell(std::string(LOCKDEP " ") + word);
    EXPECT_EQ(ran.status, 2) << word << ran.out;
    EXPECT_EQ(count(ran.out, "\n"), 1U) << ran.out;
  }
  for (const char* word : {"dump 0", "dump 99999999999999999999", "stat 4194305"}) {
    const Ran ran = shell(std::string(LOCKDEP " ") + word);
    EXPECT_EQ(ran.status, 1) << word;
    EXPECT_TRUE(has(ran.out, "lockdep: there is no process ")) << ran.out;
  }
}

// What the man page promises and bash completes: every option of every command.
TEST(LockdepCommands, EveryOptionIsInTheManPageAndInTheCompletion) {
  const std::string page = shell("sed 's/[\\]//g' " LOCKDEP_SOURCE "/docs/man/lockdep.1").out;
  const std::string completion = shell("cat " LOCKDEP_SOURCE "/src/lockdep_tool/lockdep.bash").out;
  for (const char* command : {"run", "explain", "graph", "merge", "dump", "stat"}) {
    EXPECT_TRUE(has(page, std::string("lockdep ") + command)) << command;
    const std::string help = shell(LOCKDEP " " + std::string(command) +
                                   " --help | grep -E '^ +-' | grep -oE -- '--[a-z-]+'")
                                 .out;
    for (size_t at = 0; at < help.size(); at = help.find('\n', at) + 1) {
      const std::string option = help.substr(at, help.find('\n', at) - at);
      EXPECT_TRUE(has(completion, option)) << option;
      // The library is another one for tests only.
      EXPECT_TRUE(has(page, option) || option == "--library" || option == "--help") << option;
    }
  }
  EXPECT_EQ(shell("bash -n " LOCKDEP_SOURCE "/src/lockdep_tool/lockdep.bash").status, 0);
}

}  // namespace
