// Golden pages: each is what a person reads, byte for byte.

#include <gtest/gtest.h>

#include "lockdep/report_sample.h"
#include "lockdep/report_text.h"

namespace netfs::lockdep {
namespace {

constexpr const char* kACircleOfTwoPage =
    R"(lockdep: ORDER-ONLY: possible circular locking dependency detected: b -> a -> b

======================================================
WARNING: possible circular locking dependency detected
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
------------------------------------------------------
holetest/65517 is trying to acquire lock:
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60

but task is already holding lock:
00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

which lock already depends on the new lock.


the existing dependency chain (in reverse order) is:

-> #1 (a){....}-{4:4}:
       take_1_0+0x8/0x20
       main+0x30/0x80
       ... while holding (b){....}-{4:4}, of the same stack
       ... under (c){....}-{2:2}
       ... by worker/65518 at 2021-12-07T13:39:55.000123Z

-> #0 (b){....}-{4:4}:
       take_0_1+0x8/0x20
       main+0x30/0x80
       ... while holding (a){....}-{4:4}, taken at:
       hold_0_1+0x4/0x20
       main+0x30/0x80
       ... by worker/65518 at 2021-12-07T13:39:55.000123Z

other info that might help us debug this:

 Possible unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  lock(a);
                               lock(b);
                               lock(a);
  sync(b);

 *** DEADLOCK ***

1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: ORDER-ONLY: gate `c` held on both sides
to silence it: circular "a" -> "b"
)";

TEST(ReportTextCircular, ACircleOfTwoHasNoChainLine) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kCircular, symbolizer);
  report.verdict = Verdict::kOrderOnly;
  report.reason = "gate `c` held on both sides";
  report.chain = {sample_edge(0, 1, symbolizer), sample_edge(1, 0, symbolizer)};
  report.chain[1].gates = {{.class_index = 2}};
  report.chain[1].from.stack = report.chain[1].to.stack;
  report.chain[0].to.sync = true;
  EXPECT_EQ(report_text(report, symbolizer, sample_options()), kACircleOfTwoPage);
}

constexpr const char* kACircleThroughADeclaredOrderPage =
    R"(lockdep: PROVED: possible circular locking dependency detected: b -> c -> a -> b

======================================================
WARNING: possible circular locking dependency detected
holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
------------------------------------------------------
holetest/65517 is trying to acquire lock:
00007ffd00002000 (b){....}-{4:4}, at: work+0x20/0x60

but task is already holding lock:
00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

which lock already depends on the new lock.


the existing dependency chain (in reverse order) is:

-> #2 (a){....}-{4:4}:
       take_2_0+0x8/0x20
       main+0x30/0x80
       ... while holding (c){....}-{2:2}, taken at:
       hold_2_0+0x4/0x20
       main+0x30/0x80
       ... by worker/65518 at 2021-12-07T13:39:55.000123Z

-> #1 (c){....}-{2:2}:
       declared order: after (b){....}-{4:4}

-> #0 (b){....}-{4:4}:
       take_0_1+0x8/0x20
       main+0x30/0x80
       ... while holding (a){....}-{4:4}, taken at:
       hold_0_1+0x4/0x20
       main+0x30/0x80
       ... by worker/65518 at 2021-12-07T13:39:55.000123Z

other info that might help us debug this:

Chain exists of:
  b --> c --> a

 Possible unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  rlock(a);
                               lock(c);
                               lock(a);
  lock(b);

 *** DEADLOCK ***

1 lock held by holetest/65517:
 #0: 00007ffd00001000 (a){....}-{4:4}, at: main+0x10/0x80

stack backtrace:
PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7
Call Trace:
 work+0x20/0x60
 main+0x30/0x80

verdict: PROVED: both contexts are in it now
  holetest/65517 holds (a){....}-{4:4} and waits for (b){....}-{4:4}
  worker/65518 holds (b){....}-{4:4} and waits for (c){....}-{2:2}
  read/42 holds (c){....}-{2:2} and waits for (a){....}-{4:4}
to silence it: circular "a" -> "b" -> "c"
)";

TEST(ReportTextCircular, ACircleThroughADeclaredOrderSaysSo) {
  FakeSymbolizer symbolizer;
  Report report = sample_report(ReportKind::kCircular, symbolizer);
  report.reason = "both contexts are in it now";
  report.chain = {sample_edge(0, 1, symbolizer), sample_edge(1, 2, symbolizer),
                  sample_edge(2, 0, symbolizer)};
  report.chain[1].declared = true;
  report.chain[1].to.stack.clear();
  report.chain[0].from.mode = Mode::kRead;
  report.waiting = {
      report.context, report.chain[1].context, {.name = "read", .id = 42, .is_thread = false}};
  EXPECT_EQ(report_text(report, symbolizer, sample_options()), kACircleThroughADeclaredOrderPage);
}

}  // namespace
}  // namespace netfs::lockdep
