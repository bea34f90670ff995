// The pages of orders among locks of ordinary code: a circle, and a lock taken twice.

#include <string>

#include "lockdep/report_page.h"

namespace netfs::lockdep {
namespace {

constexpr size_t kRightColumn = 31;  // where CPU1's lines begin

// ` Possible unsafe locking scenario:` of two CPUs (print_circular_lock_scenario).
void write_scenario(ReportPage& page) {
  const Report& report = page.report();
  const ReportedEdge& added = report.chain.front();
  // The kernel's words: the source is to be taken, the target is held, and the parent is the one
  // before the target on the way from the source.
  const uint32_t source = added.to.class_index;
  const uint32_t target = added.from.class_index;
  const uint32_t parent = report.chain.back().from.class_index;

  if (parent != source) {
    page.line("Chain exists of:");
    page.line("  " + page.name(source) + " --> " + page.name(parent) + " --> " + page.name(target));
    page.blank();
  }
  page.lines({" Possible unsafe locking scenario:", "", "       CPU0                    CPU1",
              "       ----                    ----"});
  const std::string right(kRightColumn, ' ');
  page.line((added.from.mode == Mode::kWrite ? "  lock(" : "  rlock(") + page.name(target) + ");");
  page.line(right + "lock(" + page.name(parent) + ");");
  page.line(right + "lock(" + page.name(target) + ");");
  const char* take = added.to.mode != Mode::kWrite ? "  rlock("
                     : added.to.sync               ? "  sync("
                                                   : "  lock(";
  page.line(take + page.name(source) + ");");
  page.deadlock();
}

}  // namespace

void write_circular(ReportPage& page) {
  const Report& report = page.report();
  page.header(54);
  page.who("is trying to acquire lock:");
  page.lock(report.taking);
  page.blank();
  page.line("but task is already holding lock:");
  if (report.holding) page.lock(*report.holding);
  page.blank();
  page.line("which lock already depends on the new lock.");
  page.blank();
  page.blank();
  page.line("the existing dependency chain (in reverse order) is:", ReportPage::Style::kHeading);
  for (size_t depth = report.chain.size(); depth-- > 0;) {
    ReportedEdge edge = report.chain[depth];
    // The new dependency is being made here and now.
    if (depth == 0 && edge.to.stack.size() <= 1) edge.to.stack = report.stack;
    page.blank();
    page.line("-> #" + std::to_string(depth) + page.text(edge.to.class_index) + ":",
              ReportPage::Style::kHeading);
    page.edge_stacks(edge, 7);
  }
  page.other_info();
  page.blank();
  if (!report.chain.empty()) write_scenario(page);
  page.held_locks();
  page.backtrace();
}

void write_recursive(ReportPage& page) {
  const Report& report = page.report();
  const ReportedLock& held = report.holding ? *report.holding : report.taking;
  page.header(44);
  page.who("is trying to acquire lock:");
  page.lock(report.taking);
  page.blank();
  page.line("but task is already holding lock:");
  page.lock(held);
  if (report.compare_result) {
    page.line("and the lock comparison function returns " + std::to_string(*report.compare_result) +
              ":");
  }
  page.other_info();
  page.lines({" Possible unsafe locking scenario:", "", "       CPU0", "       ----"});
  page.line("  lock(" + page.name(held.class_index) + ");");
  page.line("  lock(" + page.name(report.taking.class_index) + ");");
  page.deadlock();
  page.line(" May be due to missing lock nesting notation");
  page.blank();
  page.held_locks();
  page.backtrace();
}

}  // namespace netfs::lockdep
