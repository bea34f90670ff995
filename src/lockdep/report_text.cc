#include "lockdep/report_text.h"

#include "lockdep/report_page.h"
#include "lockdep/report_words.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

void write_held_lock_freed(ReportPage& page) {
  const Report& report = page.report();
  page.header(25);
  page.who("is freeing memory " + hex_padded(report.freed_from) + "-" +
           hex_padded(report.freed_to) + ", with a lock still held there!");
  page.lock(report.taking);
  page.held_locks();
  page.backtrace();
}

void write_bad_unlock(ReportPage& page) {
  const Report& report = page.report();
  page.header(37);
  page.who("is trying to release lock (" + page.name(report.taking.class_index) + ") at:");
  const Stack& stack = report.taking.stack.empty() ? report.stack : report.taking.stack;
  if (!stack.empty()) page.at(stack.front());
  page.line("but there are no more locks to release!");
  page.other_info();
  page.held_locks();
  page.backtrace();
}

void write_nested_not_taken(ReportPage& page) {
  const Report& report = page.report();
  page.header(34);
  page.who("is trying to lock:");
  page.lock(report.taking);
  page.blank();
  page.line("but this task is not holding:");
  page.line(report.holding ? page.name(report.holding->class_index) : printable(report.message));
  page.other_info();
  page.held_locks();
  page.backtrace();
}

void write_invalid_wait(ReportPage& page) {
  const Report& report = page.report();
  const std::string wait = std::to_string(report.context_wait);
  page.header(29);
  page.who("is trying to lock:");
  page.lock(report.taking);
  // The kernel's page has no blank lines here.
  page.line("other info that might help us debug this:", ReportPage::Style::kHeading);
  page.line("context-{" + wait + ":" + wait + "}");
  page.held_locks();
  page.backtrace_at_once();
}

void write_held_at_exit(ReportPage& page) {
  if (page.report().message.empty()) {
    page.header(36);  // the kernel's at a task's exit
  } else {
    page.header(48);  // the kernel's at the return to user space
    page.who("is leaving it with locks still held!");
  }
  page.held_locks();
  page.backtrace();
}

void write_assertion(ReportPage& page) {
  const Report& report = page.report();
  page.header(31);
  page.who("claimed: " + printable(report.message));
  page.lock(report.taking);
  page.other_info();
  page.held_locks();
  page.backtrace();
}

void write_orphaned(ReportPage& page) {
  const Report& report = page.report();
  page.header(57);
  page.who(report.taking.sync ? "is waiting for all that hold:" : "is trying to acquire lock:");
  page.lock(report.taking);
  if (report.holding && report.holder) {
    page.blank();
    page.line("which " + context_text(*report.holder) + " held, a thread that fork did not copy:");
    page.lock(*report.holding);
    page.line(" taken at:");
    page.stack(report.holding->stack, 3);
  }
  page.other_info();
  page.held_locks();
  page.backtrace();
}

void write_kind(ReportPage& page) {
  switch (page.report().kind) {
    case ReportKind::kCircular:
      return write_circular(page);
    case ReportKind::kRecursive:
      return write_recursive(page);
    case ReportKind::kInconsistentState:
      return write_inconsistent_state(page);
    case ReportKind::kUnsafeOrder:
      return write_unsafe_order(page);
    case ReportKind::kInversion:
      return write_inversion(page);
    case ReportKind::kHeldLockFreed:
      return write_held_lock_freed(page);
    case ReportKind::kBadUnlock:
      return write_bad_unlock(page);
    case ReportKind::kNestedNotTaken:
      return write_nested_not_taken(page);
    case ReportKind::kInvalidWait:
      return write_invalid_wait(page);
    case ReportKind::kHeldAtExit:
      return write_held_at_exit(page);
    case ReportKind::kAssertion:
      return write_assertion(page);
    case ReportKind::kOrphaned:
      return write_orphaned(page);
  }
}

}  // namespace

std::string report_text(const Report& report, Symbolizer& symbolizer, const TextOptions& options) {
  ReportPage page(report, symbolizer, options);
  page.line(summary_line(report), ReportPage::Style::kAlarm);
  page.blank();
  write_kind(page);
  page.verdict();
  return page.take();
}

}  // namespace netfs::lockdep
