// The kernel's self-test table (lib/locking-selftest.c), row by row, as data.
//
// A script is what contexts do, one after the other, `;` between contexts, all permutations of them
// where the row says so.  A step: how, class, which lock of the class (A2; 1 if not said).
//   d the column's way   q the column's reader   w write   r read   R recursive read
//   t try   u unlock   i initialise   n take under the nest lock N   s sync
//   [ ] a handler of the signal begins, ends    - + the signal is blocked, all are unblocked
//   { } a handler of another one                _ ~ the other one, both are blocked
// F: must be reported as LIKELY or PROVED; ok: nothing at all may be reported.

#include <array>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <sstream>

#include "lockdep/test_support.h"

namespace netfs::lockdep {
namespace {

enum Expected : char { F = 'F', ok = 'o', na = '-' };

struct Column {
  const char* name;
  Mode mode;
  Mode reader;
  Wait wait;
};

constexpr Column kSpin{"spin", Mode::kWrite, Mode::kRead, Wait::kSpin};
constexpr Column kWlock{"wlock", Mode::kWrite, Mode::kRecursiveRead, Wait::kSpin};
constexpr Column kRlock{"rlock", Mode::kRecursiveRead, Mode::kRecursiveRead, Wait::kSpin};
constexpr Column kMutex{"mutex", Mode::kWrite, Mode::kRead, Wait::kMutex};
constexpr Column kWsem{"wsem", Mode::kWrite, Mode::kRead, Wait::kMutex};
constexpr Column kRsem{"rsem", Mode::kRead, Mode::kRead, Wait::kMutex};
constexpr Column kRtmutex{"rtmutex", Mode::kWrite, Mode::kRead, Wait::kMutex};

struct Row {
  const char* name;
  const char* script;
  std::vector<Expected> expected;
};

class Runner {
 public:
  Runner(const Column& column, int signal)
      : column_(column), signal_(signal), other_(signal == SIGUSR1 ? SIGUSR2 : SIGUSR1) {}

  // Whether something was reported, and whether all of it was an error.
  std::pair<bool, bool> run(const std::vector<std::string>& contexts) {
    for (size_t i = 0; i < contexts.size(); ++i) {
      Actor actor(world_, "task");
      std::istringstream steps(contexts[i]);
      for (std::string step; steps >> step;) run(actor, step);
      actor.drop_all();
    }
    return {!world_.reports.empty(), world_.errors() == world_.reports.size()};
  }

 private:
  static uint64_t bit(int signal) { return uint64_t{1} << (signal - 1); }
  Instance& lock(const std::string& name) {
    std::unique_ptr<ClassKey>& key = keys_[name.substr(0, 1)];
    if (key == nullptr) {
      names_.push_back(std::make_unique<std::string>("test." + name.substr(0, 1)));
      const bool spins = name[0] == 'S';
      const bool map = name[0] == 'M';
      key = std::make_unique<ClassKey>(names_.back()->c_str(),
                                       ClassKey::Rules{.inner = map     ? Wait::kUnchecked
                                                                : spins ? Wait::kSpin
                                                                        : column_.wait});
    }
    std::unique_ptr<Instance>& found = locks_[name.size() == 1 ? name + "1" : name];
    if (found == nullptr) found = std::make_unique<Instance>(*key);
    return *found;
  }
  void run(Actor& actor, const std::string& step) {
    Validator& v = world_.validator;
    switch (step[0]) {
      case '[':
        v.signal_enter(actor.context, signal_);
        return;
      case ']':
        v.signal_leave(actor.context, signal_);
        return;
      case '{':
        v.signal_enter(actor.context, other_);
        return;
      case '}':
        v.signal_leave(actor.context, other_);
        return;
      case '-':
        v.set_blocked_signals(actor.context, bit(signal_), 1);
        return;
      case '_':
        v.set_blocked_signals(actor.context, bit(other_), 1);
        return;
      case '~':
        v.set_blocked_signals(actor.context, bit(signal_) | bit(other_), 1);
        return;
      case '+':
        v.set_blocked_signals(actor.context, 0, 1);
        return;
      default:
        break;
    }
    Instance& which = lock(step.substr(1));
    switch (step[0]) {
      case 'd':
        actor.take(which, {.mode = column_.mode});
        return;
      case 'q':
        actor.take(which, {.mode = column_.reader});
        return;
      case 'w':
        actor.take(which);
        return;
      case 'r':
        actor.take(which, {.mode = Mode::kRead});
        return;
      case 'R':
        actor.take(which, {.mode = Mode::kRecursiveRead});
        return;
      case 't':
        actor.try_take(which);
        return;
      case 'u':
        actor.drop(which);
        return;
      case 'i':
        v.init(actor.context, which, 1);
        return;
      case 'n':
        actor.take(which, {.nest = &lock("N")});
        return;
      case 's':
        v.sync(actor.context, which, {}, 1);
        return;
      default:
        FAIL() << step;
    }
  }

  World world_;
  const Column& column_;
  int signal_;
  int other_;
  std::vector<std::unique_ptr<std::string>> names_;
  std::map<std::string, std::unique_ptr<ClassKey>> keys_;
  std::map<std::string, std::unique_ptr<Instance>> locks_;
};

enum class Orders : uint8_t { kAsWritten, kAll };

std::vector<std::string> split(const std::string& script) {
  std::vector<std::string> contexts;
  std::istringstream in(script);
  for (std::string context; std::getline(in, context, ';');) contexts.push_back(context);
  return contexts;
}

// F, ok, or ? where the orders of a row differ or a report is no error.
std::string obtain(const Row& row, const Column& column, Orders orders, int signal) {
  const std::vector<std::string> contexts = split(row.script);
  std::vector<size_t> order(contexts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::string result;
  do {
    std::vector<std::string> permuted;
    for (const size_t i : order) permuted.push_back(contexts[i]);
    const auto [reported, errors] = Runner(column, signal).run(permuted);
    const std::string once = !reported ? "ok" : errors ? "F" : "order-only";
    if (result.empty()) result = once;
    if (result != once) result = "?";
  } while (orders == Orders::kAll && std::next_permutation(order.begin(), order.end()));
  return result;
}

// All that is said, for the page in docs/.
std::string& page() {
  static std::string text;
  return text;
}

[[gnu::format(printf, 1, 2)]] void say(const char* format, ...) {
  std::array<char, 400> line{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  std::fputs(line.data(), stdout);
  page() += line.data();
}

int check(const char* title, const std::vector<Column>& columns, const std::vector<Row>& rows,
          Orders orders = Orders::kAsWritten, int signal = SIGUSR1) {
  say("\n%-34s", title);
  for (const Column& column : columns) say("%10s", column.name);
  say("   (expected/obtained)\n");
  int cases = 0;
  for (const Row& row : rows) {
    say("%-34s", row.name);
    for (size_t i = 0; i < columns.size(); ++i) {
      if (row.expected[i] == na) {
        say("%10s", "-");
        continue;
      }
      const std::string expected = row.expected[i] == F ? "F" : "ok";
      const std::string obtained = obtain(row, columns[i], orders, signal);
      say("%10s", (expected + "/" + obtained).c_str());
      EXPECT_EQ(obtained, expected) << row.name << ", " << columns[i].name;
      ++cases;
    }
    say("\n");
  }
  return cases;
}

TEST(SelftestTable, BasicRowsAreReportedOrSilentAsInTheKernel) {
  const int cases =
      check("basic", {kSpin, kWlock, kRlock, kMutex, kWsem, kRsem, kRtmutex},
            {{"A-A deadlock", "dA dA2", {F, F, ok, F, F, F, F}},
             {"A-B-B-A deadlock", "dA dB;dB dA", {F, F, ok, F, F, F, F}},
             {"A-B-B-C-C-A deadlock", "dA dB;dB dC;dC dA", {F, F, ok, F, F, F, F}},
             {"A-B-C-A-B-C deadlock", "dA dB;dC dA;dB dC", {F, F, ok, F, F, F, F}},
             {"A-B-B-C-C-D-D-A deadlock", "dA dB;dB dC;dC dD;dD dA", {F, F, ok, F, F, F, F}},
             {"A-B-C-D-B-D-D-A deadlock", "dA dB;dC dD;dB dD;dD dA", {F, F, ok, F, F, F, F}},
             {"A-B-C-D-B-C-D-A deadlock", "dA dB;dC dD;dB dC;dD dA", {F, F, ok, F, F, F, F}},
             {"double unlock", "dA uA uA", {F, F, F, F, F, F, F}},
             {"initialize held", "dA iA", {F, F, F, F, F, F, F}}});
  EXPECT_EQ(cases, 63);
}

TEST(SelftestTable, ReadersAndWritersMixAsInTheKernel) {
  const Column rwlock{"rwlock", Mode::kWrite, Mode::kRecursiveRead, Wait::kSpin};
  const Column rwsem{"rwsem", Mode::kWrite, Mode::kRead, Wait::kMutex};
  check("readers and writers", {rwlock, rwsem},
        {{"recursive read-lock", "qA qA", {ok, F}},
         {"recursive read-lock #2", "qA qA2", {ok, F}},
         {"mixed read-write-lock", "qA wA2", {F, F}},
         {"mixed write-read-lock", "wA qA2", {F, F}},
         {"mixed read-lock/lock-write ABBA", "qA wB;wB wA", {F, F}},
         {"mixed read-lock/lock-read ABBA", "qA wB;wB qA", {ok, F}},
         {"mixed write-lock/lock-write ABBA", "wA wB;wB wA", {F, F}},
         {"chain cached mixed R-L/L-W ABBA", "qA wB;wB qA;wB wA", {F, na}}});
  check("x6", {rwlock},
        {{"rlock W1R2/W2R3/W3R1", "wA qB;wB qC;wC qA", {F}},
         {"rlock W1W2/R2R3/W3R1", "wA wB;qB qC;wC qA", {F}},
         {"rlock W1W2/R2R3/R3W1", "wA wB;qB qC;qC wA", {ok}},
         {"rlock W1R2/R2R3/W3W1", "wA qB;qB qC;wC wA", {ok}}},
        Orders::kAll);
}

TEST(SelftestTable, SignalsTakeThePlaceOfInterrupts) {
  for (const int signal : {SIGUSR1, SIGUSR2}) {  // the kernel's hard and soft
    check(signal == SIGUSR1 ? "SIGUSR1, all orders" : "SIGUSR2, all orders",
          {kSpin, kWlock, kRlock},
          {{"irqs-on + irq-safe-A", "dA;[ dA uA ]", {F, F, ok}},
           {"irq-safe-A => irqs-on", "- dA +;[ dA uA ]", {F, F, ok}},
           {"safe-A + irqs-on", "dA - uA +;[ dA uA ]", {F, F, ok}},
           {"safe-A + unsafe-B #1", "dA dB;dB;[ dA uA ]", {F, F, ok}},
           {"safe-A + unsafe-B #2", "- dA dB uB uA +;dB;[ dA uA ]", {F, F, ok}},
           {"irq lock-inversion", "- wA dB uB uA +;dB;[ RA uA ]", {F, F, ok}}},
          Orders::kAll, signal);
    check("readers, all orders", {kWlock, kRlock},
          {{"irq read-recursion", "- wA uA +;RA;[ dA wB uB uA ]", {F, ok}},
           {"irq read-recursion #2", "- wB dA uA uB +;RA;[ wB uB ]", {F, ok}},
           {"irq read-recursion #3", "- wB dA uA uB +;RA;[ RB uB ]", {F, ok}}},
          Orders::kAll, signal);
  }
  // Readers that a waiting writer may block, but not those of a handler; and two signals at once.
  check("SIGUSR1", {kSpin},
        {{"hardirq read-lock/lock-read", "[ RA wB uB uA ];- wB rA uA uB +", {F}},
         {"hardirq lock-read/read-lock", "[ wB RA uA uB ];- rA wB uB uA +", {ok}},
         {"hardirq inversion", "[ wB uB ];- wB rA uA uB +;rA", {F}},
         {"hardirq_unsafe_softirq_safe",
          "wX ~ wC uC + uX;[ wA uA ];~ wA wB uB uA +;~ wB wC uC uB +;{ wD uD };_ wD uD +;"
          "~ wC wD uD uC +",
          {F}}});
}

TEST(SelftestTable, NestTryAndMapRowsAreAsInTheKernel) {
  check("nest, try, pseudo-lock", {kMutex},
        {{"spinlock nest unlocked", "nA", {F}},
         {"spinlock nest test", "dN nA1 nA2 nA3", {ok}},
         {"try-block", "tA1 dA2", {F}},
         {"try-try", "tA1 tA2", {ok}},
         {"block-block", "dA1 dA2", {F}},
         {"block-try", "dA1 tA2", {ok}},
         {"spin-block", "dS dA", {F}},
         {"spin-try", "dS tA", {ok}},
         {"fs_reclaim correct nesting", "dM dA;sM", {ok}},
         {"fs_reclaim wrong nesting", "dM dA;dA sM", {F}},
         {"fs_reclaim protected nesting", "dM dA;dA", {ok}}});
}

TEST(SelftestTable, RowsThatDoNotApplyAreListedWithTheirReason) {
  const struct {
    const char* rows;
    int count;
    const char* reason;
  } left_out[] = {
      {"ww mutex: context-* and *-context, EDEADLK, api failures, contexts mixing, context, object",
       28, "no wound/wait mutex in user space"},
      {"local_lock 2, 3A, 3B", 3, "no per-CPU locks in user space"},
      {"rcu columns and RCU rows of the wait-context matrix", 3, "no RCU read sections"},
  };
  say("\nnot run:\n");
  int total = 0;
  for (const auto& row : left_out) {
    say("  %2d  %s: %s\n", row.count, row.rows, row.reason);
    total += row.count;
  }
  say("  %2d  rows in all; the wait matrix itself is in behaviours_signal_test\n", total);
  EXPECT_EQ(total, 34);
}

// Last: what the others said stands in docs/lockdep-selftest.md, so that neither leaves the other
// behind.
TEST(SelftestTable, ThePageShowsWhatWasObtained) {
  if (page().find("not run:") == std::string::npos || page().find("\nbasic") != 0) {
    GTEST_SKIP() << "SKIPPED: the other tests did not run before";
  }
  std::ifstream file(LOCKDEP_SELFTEST_PAGE);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find("```\n" + page().substr(1) + "```\n"), std::string::npos)
      << LOCKDEP_SELFTEST_PAGE << " is to hold, between two lines of ```:\n"
      << page();
}

}  // namespace
}  // namespace netfs::lockdep
