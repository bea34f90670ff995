// Golden pages: each is what a person reads, byte for byte.

#include <gtest/gtest.h>
#include <signal.h>

#include "lockdep/report_sample.h"
#include "lockdep/report_text.h"

namespace netfs::lockdep {
namespace {

// Safe lock c, held a, taking b, unsafe lock d: the order a -> b is new.
Report signal_report(ReportKind kind, FakeSymbolizer& symbolizer) {
  Report report = sample_report(kind, symbolizer);
  report.signal = SIGUSR1;
  report.new_state = "SIGUSR1-ON-W";
  report.classes.push_back({.name = "d", .usage = "+...", .wait_outer = 4, .wait_inner = 4});
  report.safe_class = 2;
  report.unsafe_class = 3;
  report.chain = {sample_edge(2, 0, symbolizer), sample_edge(0, 1, symbolizer),
                  sample_edge(1, 3, symbolizer)};
  report.old_state_stack = symbolizer.stack({"handler+0x8/0x20"});
  report.unsafe_state_stack = symbolizer.stack({"plain+0x8/0x30"});
  return report;
}

constexpr const char* kAnInconsistentStatePage = R"(lockdep: PROVED: inconsistent lock state: b

================================
WARNING: inconsistent lock state
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
--------------------------------
inconsistent {SIGUSR1-ON-W} -> {IN-SIGUSR1-W} usage.
holetest/65517 [SIGUSR1:in handler] takes:
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60
{SIGUSR1-ON-W} state was registered at:
   open_all+0x14/0x40
   main+0x30/0x80

other info that might help us debug this:
 Possible unsafe locking scenario:

       CPU0
       ----
  lock(b);
  <SIGUSR1>
    lock(b);

 *** DEADLOCK ***

1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: inconsistent-state "b"
)";

TEST(ReportTextSignal, AnInconsistentStatePageHasBothStates) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kInconsistentState, symbolizer);
  report.signal = SIGUSR1;
  report.old_state = "SIGUSR1-ON-W";
  report.new_state = "IN-SIGUSR1-W";
  report.old_state_stack = symbolizer.stack({"open_all+0x14/0x40", "main+0x30/0x80"});
  EXPECT_EQ(report_text(report, symbolizer, sample_options()), kAnInconsistentStatePage);
}

constexpr const char* kAnUnsafeOrderPage =
    R"(lockdep: PROVED: SIGUSR1-safe -> SIGUSR1-unsafe lock order detected: c -> a -> b -> d

=====================================================
WARNING: SIGUSR1-safe -> SIGUSR1-unsafe lock order detected
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
-----------------------------------------------------
holetest/65517 [SIGUSR1:unblocked] is trying to acquire:
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60

and this task is already holding:
00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80
which would create a new lock dependency:
 (a){....}-{4:4} -> (b){....}-{4:4}

but this new dependency connects a SIGUSR1-safe lock:
 (c){....}-{2:2}

... which became SIGUSR1-safe at:
  handler+0x8/0x20

to a SIGUSR1-unsafe lock:
 (d){+...}-{4:4}

... which became SIGUSR1-unsafe at:
...
  plain+0x8/0x30

other info that might help us debug this:

Chain exists of:
  c --> a --> d

 Possible interrupt unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  lock(d);
                               block(SIGUSR1);
                               lock(c);
                               lock(a);
  <SIGUSR1>
    lock(c);

 *** DEADLOCK ***

1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

the dependencies between SIGUSR1-safe lock and the holding lock:
 -> (c){....}-{2:2}
-> (a){....}-{4:4}
 ... acquired at:
   take_2_0+0x8/0x20
   main+0x30/0x80
   ... while holding (c){....}-{2:2}, taken at:
   hold_2_0+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z


the dependencies between the lock to be acquired and SIGUSR1-unsafe lock:
 -> (d){+...}-{4:4}
  ... acquired at:
   take_1_3+0x8/0x20
   main+0x30/0x80
   ... while holding (b){....}-{4:4}, taken at:
   hold_1_3+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z

-> (b){....}-{4:4}

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: unsafe-order "c" -> "a" -> "b" -> "d"
)";

TEST(ReportTextSignal, AnUnsafeOrderPageHasBothWays) {
  FakeSymbolizer symbolizer;
  const Report report = signal_report(ReportKind::kUnsafeOrder, symbolizer);
  EXPECT_EQ(report_text(report, symbolizer, sample_options()), kAnUnsafeOrderPage);
}

constexpr const char* kAnInversionPageOfTheSafeLockPage =
    R"(lockdep: PROVED: possible irq lock inversion dependency detected: c -> a -> b -> d

========================================================
WARNING: possible irq lock inversion dependency detected
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
--------------------------------------------------------
holetest/65517 just changed the state of lock:
00007ffd00002000 (c){....}-{2:2}, at: work+0x20/0x60
but this lock took another, SIGUSR1-unsafe lock in the past:
 (d){+...}-{4:4}


and interrupts could create inverse lock ordering between them.


other info that might help us debug this:
Chain exists of:
  c --> a --> d

 Possible interrupt unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  lock(d);
                               block(SIGUSR1);
                               lock(c);
                               lock(a);
  <SIGUSR1>
    lock(c);

 *** DEADLOCK ***

1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

the shortest dependencies between 2nd lock and 1st lock:
   -> (d){+...}-{4:4}
    ... acquired at:
   take_1_3+0x8/0x20
   main+0x30/0x80
   ... while holding (b){....}-{4:4}, taken at:
   hold_1_3+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z

  -> (b){....}-{4:4}
   ... acquired at:
   take_0_1+0x8/0x20
   main+0x30/0x80
   ... while holding (a){....}-{4:4}, taken at:
   hold_0_1+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z

 -> (a){....}-{4:4}
  ... acquired at:
   take_2_0+0x8/0x20
   main+0x30/0x80
   ... while holding (c){....}-{2:2}, taken at:
   hold_2_0+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z

-> (c){....}-{2:2}

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: inversion "c" -> "a" -> "b" -> "d"
)";

TEST(ReportTextSignal, AnInversionPageOfTheSafeLockLooksForwards) {
  FakeSymbolizer symbolizer;
  Report report = signal_report(ReportKind::kInversion, symbolizer);
  report.taking.class_index = report.safe_class;
  EXPECT_EQ(report_text(report, symbolizer, sample_options()), kAnInversionPageOfTheSafeLockPage);
}

constexpr const char* kAnInversionPageOfTheUnsafeLockPage =
    R"(lockdep: PROVED: possible irq lock inversion dependency detected: c -> a -> b -> d

========================================================
WARNING: possible irq lock inversion dependency detected
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
--------------------------------------------------------
holetest/65517 just changed the state of lock:
00007ffd00002000 (d){+...}-{4:4}, at: work+0x20/0x60
but this lock was taken by another, SIGUSR1-safe lock in the past:
 (c){....}-{2:2}


and interrupts could create inverse lock ordering between them.


other info that might help us debug this:
Chain exists of:
  c --> a --> d

 Possible interrupt unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  lock(d);
                               block(SIGUSR1);
                               lock(c);
                               lock(a);
  <SIGUSR1>
    lock(c);

 *** DEADLOCK ***

1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

the shortest dependencies between 2nd lock and 1st lock:
   -> (c){....}-{2:2}
  -> (a){....}-{4:4}
   ... acquired at:
   take_2_0+0x8/0x20
   main+0x30/0x80
   ... while holding (c){....}-{2:2}, taken at:
   hold_2_0+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z

 -> (b){....}-{4:4}
  ... acquired at:
   take_0_1+0x8/0x20
   main+0x30/0x80
   ... while holding (a){....}-{4:4}, taken at:
   hold_0_1+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z

-> (d){+...}-{4:4}
 ... acquired at:
   take_1_3+0x8/0x20
   main+0x30/0x80
   ... while holding (b){....}-{4:4}, taken at:
   hold_1_3+0x4/0x20
   main+0x30/0x80
   ... by worker/65518 at 2021-12-07T13:39:55.000123Z


stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: needs nobody else
to silence it: inversion "c" -> "a" -> "b" -> "d"
)";

TEST(ReportTextSignal, AnInversionPageOfTheUnsafeLockLooksBackwards) {
  FakeSymbolizer symbolizer;
  Report report = signal_report(ReportKind::kInversion, symbolizer);
  report.taking.class_index = report.unsafe_class;
  EXPECT_EQ(report_text(report, symbolizer, sample_options()), kAnInversionPageOfTheUnsafeLockPage);
}

}  // namespace
}  // namespace netfs::lockdep
