// What `lockdep run` says of programs, and what it leaves as it was.

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

#include "tests/lockdep/run_support.h"

namespace {

// `shown`: how the first line begins, by default; null: nothing is printed.  `asked`: what it holds
// with --order-only.
struct Row {
  const char* name;
  const char* shown;
  const char* asked;
};

constexpr const char* kLikely = "LIKELY: possible circular";
constexpr const char* kOrderOnly = "ORDER-ONLY: possible circular";

const Row kRows[] = {
    {"abba", kLikely, kLikely},
    {"abba_joined", nullptr, "never concurrent"},
    {"abba_one_thread", nullptr, "did both parts"},
    {"abba_gate", nullptr, "lock_gate` held on both sides"},
    {"abba_gate_left_out_once", kLikely, kLikely},
    {"three", kLikely, kLikely},
    {"inner_trylock", nullptr, nullptr},
    {"outer_trylock", kLikely, kLikely},
    {"std_lock", nullptr, nullptr},
    {"std_lock_and_plain", nullptr, nullptr},  // the one that backs off waits for nobody
    {"same_site", nullptr, "ORDER-ONLY: possible recursive"},
    {"same_site_same_locks", kLikely, kLikely},
    {"many_held", nullptr, "ORDER-ONLY: possible recursive"},
    {"out_of_order", nullptr, nullptr},
    {"read_read_reader", nullptr, nullptr},
    {"read_read_writer", kLikely, kLikely},
    {"read_write", kLikely, kLikely},
    {"read_mutex_reader", nullptr, nullptr},
    {"read_mutex_writer", kLikely, kLikely},
    {"recursive_read", nullptr, nullptr},
    {"spin_abba", kLikely, kLikely},
    {"semaphore_abba", kOrderOnly, kOrderOnly},
    {"semaphore_mutex", kOrderOnly, kOrderOnly},
    {"semaphore_event", nullptr, nullptr},
    {"wait_under_another", kLikely, kLikely},
    {"wait_alone", nullptr, nullptr},
    {"recursive_relock", nullptr, nullptr},
    {"errorcheck_relock", nullptr, nullptr},
    {"c11_abba", kLikely, kLikely},
    {"handler_lock", "LIKELY: inconsistent lock state", "LIKELY: inconsistent lock state"},
    {"handler_lock_blocked", nullptr, nullptr},
    {"join_needs_lock", "PROVED: possible circular", "PROVED: possible circular"},
    {"join_when_done", nullptr, kOrderOnly},
    {"stack_reuse", nullptr, nullptr},
    {"heap_reuse", nullptr, nullptr},
    {"exit_holding", "PROVED: lock held", "PROVED: lock held"},
    {"free_holding", "PROVED: held lock freed", "PROVED: held lock freed"},
    {"destroy_holding", "PROVED: held lock freed", "PROVED: held lock freed"},
    {"unlock_by_other", "PROVED: bad unlock", "PROVED: bad unlock"},
    {"unlock_unlocked", "PROVED: bad unlock", "PROVED: bad unlock"},
    {"unlocked_by_other_then_on", "PROVED: bad unlock", "PROVED: bad unlock"},
    {"under_a_try", kLikely, kLikely},
    {"failed_try", nullptr, nullptr},
    {"released_first", nullptr, kOrderOnly},
    {"released_later", kLikely, kLikely},
    {"hand_over_hand", nullptr, kOrderOnly},
    {"hand_over_hand_by_two", kLikely, kLikely},
    {"read_then_write", kLikely, kLikely},
    {"across_a_reader", kLikely, kLikely},
    {"relock", "PROVED: possible recursive", "PROVED: possible recursive"},
    {"unmap_reuse", nullptr, nullptr},
    {"unmap_holding", "PROVED: held lock freed", "PROVED: held lock freed"},
    {"cancel_holding", "PROVED: lock held", "PROVED: lock held"},
    {"many_threads_abba", kLikely, kLikely},
    {"timed_out", nullptr, nullptr},
    {"timed_abba", nullptr, kOrderOnly},
    {"robust_owner_dead", "PROVED: lock held", kLikely},
    {"pi_abba", kLikely, kLikely},
    {"once_abba", kLikely, kLikely},
    {"once_passed", nullptr, nullptr},
    {"once_passed_of_many", nullptr, nullptr},
    {"once_before_threads", nullptr, kOrderOnly},
    {"cancelled_wait", nullptr, nullptr},
    {"thrown_through", nullptr, nullptr},
    {"errno_stays", nullptr, kOrderOnly},
    {"barrier_under_lock", nullptr, "a barrier, to which others may come"},
    {"barrier_at_start", nullptr, nullptr},
    {"load_abba", kLikely, kLikely},
    {"load_alone", nullptr, nullptr},
    {"handler_lock_other_blocked", "LIKELY: inconsistent", "LIKELY: inconsistent"},
    {"handler_mask", nullptr, nullptr},
    {"handler_mask_missing", "LIKELY: inconsistent", "LIKELY: inconsistent"},
    {"handler_jump", nullptr, nullptr},
    {"handler_jump_from_other_stack", nullptr, nullptr},
    {"fault_handler_lock", nullptr, nullptr},
    {"fault_abba", kLikely, kLikely},
    {"fault_sent", "LIKELY: inconsistent", "LIKELY: inconsistent"},
    {"fault_jump", "LIKELY: inconsistent", "LIKELY: inconsistent"},
    {"abba_little_stack", kLikely, kLikely},
    {"cancelled_before_report", kLikely, kLikely},
    {"handler_little_stack", "LIKELY: inconsistent lock", "LIKELY: inconsistent lock"},
    {"fork_locks_all", nullptr, nullptr},
    {"fork_then_abba", kLikely, kLikely},
    {"fork_orphan", "PROVED: lock held by thread", "PROVED: lock held by thread"},
};

// Those that tests of run_hard_test.cc run.
const char* const kOthers[] = {"fork_while_reporting",
                               "exec_abba",
                               "load_abba_by_name",
                               "exit_while_threads_run",
                               "lock_at_the_end",
                               "ten_thousand_threads",
                               "million_locks",
                               "pairs",
                               "hang",
                               "half_ab",
                               "first_thread_ends_first",
                               "thread_returns_new",
                               "signal_interrupts",
                               "handlers_read_back",
                               "exit_little_stack",
                               "handler_in_malloc",
                               "std_thread_half_ab",
                               "std_thread_half_ba",
                               "std_thread_half_ba_member",
                               "std_thread_half_ba_lambda",
                               "low_descriptors_closed",
                               "alone_again",
                               "descriptors_taken_again",
                               "cancelled_at_once",
                               "signals_at_exit",
                               "robust_not_recoverable",
                               "wrapped_in_order",
                               "wrapped_half_ab",
                               "wrapped_half_ba",
                               "wrapped_reuse",
                               "half_ba"};

// What is said of a scenario.  One that hangs is ended when something was.
std::string said(const std::string& options, const std::string& name) {
  if (name != "join_needs_lock") return run(options, scenario(name)).out;
  const std::string file = fresh_file("hangs");
  return shell(LOCKDEP " run " + options + " -o " + file + " -- " + scenario(name) +
               " & pid=$!; i=0; until grep -qs '^lockdep: ' " + file +
               " || [ $i -ge 600 ]; do i=$((i+1)); sleep 0.1; done; kill -KILL $pid; cat " + file +
               "; rm -f " + file)
      .out;
}

class LockdepScenario : public testing::TestWithParam<Row> {};

TEST_P(LockdepScenario, IsJudgedAsItDeserves) {
  const Row& row = GetParam();
  const std::string shown = said("", row.name);
  if (row.shown == nullptr) {
    EXPECT_EQ(shown, "");
  } else {
    EXPECT_EQ(shown.rfind(std::string("lockdep: ") + row.shown, 0), 0U) << shown;
  }
  const std::string asked = said("--order-only", row.name);
  if (row.asked == nullptr) {
    EXPECT_EQ(asked, "");
  } else {
    EXPECT_NE(asked.find(row.asked), std::string::npos) << asked;
  }
}

INSTANTIATE_TEST_SUITE_P(All, LockdepScenario, testing::ValuesIn(kRows),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(LockdepRun, TheListOfScenariosIsTheTable) {
  std::string names;
  for (const Row& row : kRows) names += std::string(row.name) + " ";
  for (const char* name : kOthers) names += std::string(name) + " ";
  std::string there;
  const std::string listed = shell(SCENARIOS).out;
  for (size_t at = 0; at < listed.size();) {
    const size_t end = listed.find('\n', at);
    EXPECT_NE(names.find(listed.substr(at, end - at) + " "), std::string::npos)
        << listed.substr(at, end - at);
    at = end + 1;
  }
}

// The first example of the man page, and what scripts/demo shows.
TEST(LockdepRun, TheBundledExampleEndsAndItsInversionIsTold) {
  const std::string file = fresh_file("bank");
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(run("--exit-code 9 -o " + file, "timeout 60 " BANK).out,
              "savings 1050, current 950\n");
  }
  EXPECT_EQ(shell("grep -c '^lockdep: LIKELY' " + file).out, "5\n") << "-o adds";
  (void)std::remove(file.c_str());
}

TEST(LockdepRun, ExitCodeOutputAndSignalsAreTheProgramsOwn) {
  const Ran plain = run("", "/bin/sh -c 'echo out; echo err >&2; exit 7'");
  EXPECT_EQ(plain.out, "out\nerr\n");
  EXPECT_EQ(plain.status, 7);
  EXPECT_EQ(run("", "/bin/sh -c 'kill -TERM $$'").status, -15);
}

TEST(LockdepRun, AReportChangesTheExitCodeOnlyWhereThatWasAskedFor) {
  EXPECT_EQ(run("", scenario("abba")).status, 0);
  EXPECT_EQ(run("--exit-code 9", scenario("abba")).status, 9);
  EXPECT_EQ(run("--exit-code 9", scenario("abba_gate")).status, 0);
  EXPECT_EQ(run("--exit-code 9", scenario("semaphore_abba")).status, 0);
}

TEST(LockdepRun, ReportsGoToTheFileThatWasNamed) {
  const std::string file = testing::TempDir() + "lockdep-run-output";
  (void)std::remove(file.c_str());
  EXPECT_EQ(run("--json --output " + file, scenario("abba")).out, "");
  const std::string text = shell("cat " + file).out;
  EXPECT_EQ(text.rfind("{", 0), 0U) << text;
  EXPECT_NE(text.find("\"LIKELY\""), std::string::npos) << text;
  (void)std::remove(file.c_str());
}

TEST(LockdepRun, AFileThatTakesNoReportsIsSaidOnceAndTheProgramGoesOn) {
  const Ran ran = run("--output /dev/full", scenario("abba"));
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "lockdep: /dev/full: No space left on device; reports are lost\n");
}

TEST(LockdepRun, ChildrenAreWatchedUnlessToldOtherwise) {
  const std::string child = "/bin/sh -c '" + scenario("abba") + "; true'";
  EXPECT_NE(run("", child).out.find("LIKELY"), std::string::npos);
  EXPECT_EQ(run("--no-children", child).out, "");
}

TEST(LockdepRun, WhatCannotBeWatchedIsRefusedInOneLine) {
  const struct {
    const char* options;
    const char* program;
    int status;
  } cases[] = {
      {"", "/sbin/ldconfig", 126},  // static on Debian
      {"", "/no/such/program", 127},
      {"", "no-such-program", 127},
      {"", "/etc/passwd", 126},
      {"--output /no/such/folder/file", "/bin/true", 125},
      {"--suppressions /no/such/file", "/bin/true", 125},
      {"--suppressions /bin/true", "/bin/true", 125},
      {"--suppressions /etc/passwd", "/bin/true", 125},
      {"--library /no/such/library", "/bin/true", 125},
      {"--library /etc/passwd", "/bin/true", 125},
      {"--library /bin/true", "/bin/true", 125},
      {"--exit-code 256", "/bin/true", 125},
      {"--no-such-option", "/bin/true", 125},
      {"", "", 125},
  };
  for (const auto& one : cases) {
    const Ran ran = run(one.options, one.program);
    EXPECT_EQ(ran.status, one.status) << one.program << " " << ran.out;
    EXPECT_EQ(ran.out.rfind("lockdep: ", 0), 0U) << ran.out;
    EXPECT_EQ(ran.out.find('\n'), ran.out.size() - 1) << ran.out;
  }
}

}  // namespace
