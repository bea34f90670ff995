// What `lockdep run` says of programs, and what it leaves as it was.

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <sys/wait.h>

namespace {

struct Ran {
  std::string out;  // stdout and stderr, as the command put them
  int status = 0;   // exit code, or minus the signal
};

Ran shell(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
  if (pipe == nullptr) return {.out = "popen failed", .status = -1};
  char buffer[4096];
  for (size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, pipe)) != 0;) {
    ran.out.append(buffer, size);
  }
  const int status = ::pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return ran;
}

Ran run(const std::string& options, const std::string& program) {
  return shell(std::string("exec ") + LOCKDEP + " run " + options + " -- " + program);
}

std::string scenario(const std::string& name) {
  return std::string(SCENARIOS) + " " + name;
}

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
};

class LockdepScenario : public testing::TestWithParam<Row> {};

TEST_P(LockdepScenario, IsJudgedAsItDeserves) {
  const Row& row = GetParam();
  const std::string shown = run("", scenario(row.name)).out;
  if (row.shown == nullptr) {
    EXPECT_EQ(shown, "");
  } else {
    EXPECT_EQ(shown.rfind(std::string("lockdep: ") + row.shown, 0), 0U) << shown;
  }
  const std::string asked = run("--order-only", scenario(row.name)).out;
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
  std::string there;
  const std::string listed = shell(SCENARIOS).out;
  for (size_t at = 0; at < listed.size();) {
    const size_t end = listed.find('\n', at);
    EXPECT_NE(names.find(listed.substr(at, end - at) + " "), std::string::npos)
        << listed.substr(at, end - at);
    at = end + 1;
  }
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
      {"--library /no/such/library", "/bin/true", 125},
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
