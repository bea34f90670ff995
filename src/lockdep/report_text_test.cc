// Golden pages: each is what a person reads, byte for byte.

#include "lockdep/report_text.h"

#include <gtest/gtest.h>

#include "lockdep/report_sample.h"

namespace netfs::lockdep {
namespace {

TEST(ReportText, ARecursivePageHasOneCpuAndTheComparison) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kRecursive, symbolizer);
  report.taking.class_index = 0;
  report.compare_result = -1;
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: possible recursive locking detected: a -> a

============================================
WARNING: possible recursive locking detected
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
--------------------------------------------
holetest/65517 is trying to acquire lock:
00007ffd00002000 (a){....}-{4:4}, at: work+0x20/0x60

but task is already holding lock:
00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80
and the lock comparison function returns -1:

other info that might help us debug this:
 Possible unsafe locking scenario:

       CPU0
       ----
  lock(a);
  lock(a);

 *** DEADLOCK ***

 May be due to missing lock nesting notation

1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: recursive "a" -> "a"
)");
}

TEST(ReportText, AFreedLockPageNamesTheMemory) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kHeldLockFreed, symbolizer);
  report.taking = report.held[0];
  report.freed_from = 0x7ffd00000ff0;
  report.freed_to = 0x7ffd00001040;
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: held lock freed!: a

=========================
WARNING: held lock freed!
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
-------------------------
holetest/65517 is freeing memory 00007ffd00000ff0-00007ffd00001040, with a lock still held there!
00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80
1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: held-lock-freed "a"
)");
}

TEST(ReportText, ABadUnlockPageNamesTheCaller) {
  FakeSymbolizer symbolizer;
  const Report report = sample_report(ReportKind::kBadUnlock, symbolizer);
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: bad unlock balance detected!: b

=====================================
WARNING: bad unlock balance detected!
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
-------------------------------------
holetest/65517 is trying to release lock (b) at:
[<0000000000401010>] work+0x20/0x60
but there are no more locks to release!

other info that might help us debug this:
1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: bad-unlock "b"
)");
}

TEST(ReportText, ANestedLockPageNamesTheMissingOne) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kNestedNotTaken, symbolizer);
  report.holding.reset();
  report.message = "c";
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: Nested lock was not taken: b

==================================
WARNING: Nested lock was not taken
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
----------------------------------
holetest/65517 is trying to lock:
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60

but this task is not holding:
c

other info that might help us debug this:
1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: nested-not-taken "b"
)");
}

TEST(ReportText, AnInvalidWaitPageHasTheContextAndNoBlankLines) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kInvalidWait, symbolizer);
  report.context_wait = 2;
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: Invalid wait context: b

=============================
[ BUG: Invalid wait context ]
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
-----------------------------
holetest/65517 is trying to lock:
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60
other info that might help us debug this:
context-{2:2}
1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80
stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: invalid-wait "b"
)");
}

TEST(ReportText, AnExitPageListsWhatIsHeld) {
  FakeSymbolizer symbolizer;
  const Report report = sample_report(ReportKind::kHeldAtExit, symbolizer);
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: holetest/65517 still has locks held!: a

====================================
WARNING: holetest/65517 still has locks held!
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
------------------------------------
1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: held-at-exit "a"
)");
}

TEST(ReportText, ABoundaryPageNamesTheBoundary) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kHeldAtExit, symbolizer);
  report.message = "event-loop boundary";
  report.context = {.name = "read", .id = 42, .is_thread = false};
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: lock held at event-loop boundary!: a

================================================
WARNING: lock held at event-loop boundary!
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
------------------------------------------------
read/42 is leaving it with locks still held!
1 lock held by read/42:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 Context: 42 Name: read holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: held-at-exit "a"
)");
}

TEST(ReportText, AnAssertionPageHasTheClaim) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kAssertion, symbolizer);
  report.message = "b is held";
  report.held.clear();
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: lock assertion failed: b

===============================
WARNING: lock assertion failed
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
-------------------------------
holetest/65517 claimed: b is held
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60

other info that might help us debug this:
no locks held by holetest/65517.

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: assertion "b"
)");
}

TEST(ReportText, AnOrphanedLockPageNamesTheThreadThatHeldIt) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kOrphaned, symbolizer);
  report.holding = report.taking;
  report.holding->stack = symbolizer.stack({"hold+0x8/0x20", "run+0x1/0x10"});
  report.holder = {.name = "worker", .id = 65001};
  EXPECT_EQ(report_text(report, symbolizer, sample_options()),
            R"(lockdep: PROVED: lock held by thread that does not exist in child: b

=========================================================
WARNING: lock held by thread that does not exist in child
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
---------------------------------------------------------
holetest/65517 is trying to acquire lock:
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60

which worker/65001 held, a thread that fork did not copy:
00007ffd00002000 (b){....}-{4:4}, at: hold+0x8/0x20
 taken at:
   hold+0x8/0x20
   run+0x1/0x10

other info that might help us debug this:
1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: orphaned "b"
)");
}

TEST(ReportText, ColourIsForATerminalOnly) {
  FakeSymbolizer symbolizer;
  const Report report = sample_report(ReportKind::kBadUnlock, symbolizer);
  TextOptions options = sample_options();
  const std::string plain = report_text(report, symbolizer, options);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  options.colour = Colour::kTerminal;
  std::string coloured = report_text(report, symbolizer, options);
  EXPECT_NE(coloured.find("\x1b[1;31mWARNING: bad unlock balance detected!\x1b[0m\n"),
            std::string::npos);
  for (size_t at = 0; (at = coloured.find('\x1b')) != std::string::npos;) {
    coloured.erase(at, coloured.find('m', at) + 1 - at);
  }
  EXPECT_EQ(coloured, plain);
}

// Names come from programs: what they hold must not steer the reader's terminal.
TEST(ReportText, ControlBytesOfNamesAreEscaped) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kAssertion, symbolizer);
  report.classes[1].name = "b\x1b[2J\n";
  report.context.name = "x\r";
  report.message = "\a";
  report.reason = "\x7f";
  const std::string page = report_text(report, symbolizer, sample_options());
  for (const char byte : {'\x1b', '\r', '\a', '\x7f'}) {
    EXPECT_EQ(page.find(byte), std::string::npos);
  }
  EXPECT_NE(page.find(" (b\\x1b[2J\\x0a){....}"), std::string::npos);
}

// Inlined functions and sources stand in stacks; the `at:` of a lock has the function of the code.
TEST(ReportText, FramesHaveInlinedFunctionsAndSources) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kAssertion, symbolizer);
  Frame inner{
      .function = "MutexLock::MutexLock", .file = "sync/mutex.h", .line = 40, .inlined = true};
  Frame outer{.function = "work", .offset = 0x20, .length = 0x60, .file = "work.cc", .line = 7};
  report.stack = report.taking.stack = {symbolizer.add({inner, outer}), 0x1234};
  const std::string page = report_text(report, symbolizer, sample_options());
  EXPECT_NE(page.find(", at: work+0x20/0x60  work.cc:7\n"), std::string::npos);
  EXPECT_NE(page.find("Call Trace:\n"
                      " MutexLock::MutexLock  sync/mutex.h:40 [inlined]\n"
                      " work+0x20/0x60  work.cc:7\n"
                      " 0x0000000000001234\n"),
            std::string::npos);
}

}  // namespace
}  // namespace netfs::lockdep
