// The pages of orders between ordinary code and signal handlers.  Where the kernel says HARDIRQ
// these say SIGUSR1, `<SIGUSR1>` where it says `<Interrupt>`, and `block(SIGUSR1);` where it says
// `local_irq_disable();`.

#include <algorithm>
#include <string>

#include "lockdep/report_page.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

constexpr size_t kRightColumn = 31;  // where CPU1's lines begin

// What the context is in, where the kernel has [HC0[0]:SC0[0]:HE1:SE1].
std::string state_text(const Report& report) {
  const bool in_handler = report.new_state.rfind("IN-", 0) == 0;
  return "[" + signal_name(report.signal) + (in_handler ? ":in handler]" : ":unblocked]");
}

// ` Possible interrupt unsafe locking scenario:` (print_irq_lock_scenario).
void write_signal_scenario(ReportPage& page, uint32_t middle) {
  const Report& report = page.report();
  const std::string signal = signal_name(report.signal);
  const std::string safe = page.name(report.safe_class);
  const std::string unsafe = page.name(report.unsafe_class);
  if (middle != report.unsafe_class) {
    page.line("Chain exists of:");
    page.line("  " + safe + " --> " + page.name(middle) + " --> " + unsafe);
    page.blank();
  }
  page.lines({" Possible interrupt unsafe locking scenario:", "",
              "       CPU0                    CPU1", "       ----                    ----"});
  const std::string right(kRightColumn, ' ');
  page.line("  lock(" + unsafe + ");");
  page.line(right + "block(" + signal + ");");
  page.line(right + "lock(" + safe + ");");
  page.line(right + "lock(" + page.name(middle) + ");");
  page.line("  <" + signal + ">");
  page.line("    lock(" + safe + ");");
  page.deadlock();
}

// One lock of the way and how it was reached: behind the edge that leads to it.
void write_reached(ReportPage& page, const ReportedEdge& edge, size_t depth) {
  page.line(std::string(depth, ' ') + "->" + page.text(edge.to.class_index));
  page.line(std::string(depth, ' ') + " ... acquired at:");
  page.edge_stacks(edge, 3);
  page.blank();
}

// The way along edges [begin, end) from lock `first` on.  Each lock stands further in than the one
// that was searched from.  Searched forwards, that is the first lock, and the last stands at the
// top (print_shortest_lock_dependencies).
void write_way_forwards(ReportPage& page, size_t begin, size_t end, uint32_t first) {
  for (size_t i = end; i-- > begin;) write_reached(page, page.report().chain[i], i + 1 - begin);
  page.line("->" + page.text(first));
}

// Searched backwards, it is the last lock, and the first stands at the top
// (print_shortest_lock_dependencies_backwards).
void write_way_backwards(ReportPage& page, size_t begin, size_t end, uint32_t first) {
  page.line(std::string(end - begin, ' ') + "->" + page.text(first));
  for (size_t i = begin; i < end; ++i) write_reached(page, page.report().chain[i], end - 1 - i);
}

// The edge that is new: from the held lock to the one to be taken.
size_t new_edge(const Report& report) {
  for (size_t i = 0; i < report.chain.size() && report.holding; ++i) {
    if (report.chain[i].from.class_index == report.holding->class_index &&
        report.chain[i].to.class_index == report.taking.class_index) {
      return i;
    }
  }
  return report.chain.size();
}

// A lock between the safe one and the unsafe one, for the scenario; the unsafe one if there is
// none.
uint32_t middle_of_chain(const Report& report) {
  return report.chain.empty() ? report.unsafe_class : report.chain.front().to.class_index;
}

}  // namespace

void write_inconsistent_state(ReportPage& page) {
  const Report& report = page.report();
  const std::string old_state = "{" + printable(report.old_state) + "}";
  const std::string lock = "lock(" + page.name(report.taking.class_index) + ");";
  page.header(32);
  page.line("inconsistent " + old_state + " -> {" + printable(report.new_state) + "} usage.");
  page.who(state_text(report) + " takes:");
  page.lock(report.taking);
  page.line(old_state + " state was registered at:");
  page.stack(report.old_state_stack, 3);
  page.other_info();
  page.lines({" Possible unsafe locking scenario:", "", "       CPU0", "       ----"});
  page.line("  " + lock);
  page.line("  <" + signal_name(report.signal) + ">");
  page.line("    " + lock);
  page.deadlock();
  page.held_locks();
  page.backtrace();
}

void write_unsafe_order(ReportPage& page) {
  const Report& report = page.report();
  const std::string signal = signal_name(report.signal);
  const uint32_t taking = report.taking.class_index;
  const uint32_t held = report.holding ? report.holding->class_index : taking;
  page.header(53);
  page.who(state_text(report) + " is trying to acquire:");
  page.lock(report.taking);
  page.blank();
  page.line("and this task is already holding:");
  if (report.holding) page.lock(*report.holding);
  page.line("which would create a new lock dependency:");
  page.line(page.text(held) + " ->" + page.text(taking));
  page.blank();
  page.line("but this new dependency connects a " + signal + "-safe lock:");
  page.line(page.text(report.safe_class));
  page.blank();
  page.line("... which became " + signal + "-safe at:");
  page.stack(report.old_state_stack, 2);
  page.blank();
  page.line("to a " + signal + "-unsafe lock:");
  page.line(page.text(report.unsafe_class));
  page.blank();
  page.line("... which became " + signal + "-unsafe at:");
  page.line("...");
  page.stack(report.unsafe_state_stack, 2);
  page.other_info();
  page.blank();
  write_signal_scenario(page, held != report.safe_class ? held : taking);
  page.held_locks();

  const size_t added = new_edge(report);
  page.blank();
  page.line("the dependencies between " + signal + "-safe lock and the holding lock:",
            ReportPage::Style::kHeading);
  write_way_backwards(page, 0, std::min(added, report.chain.size()), report.safe_class);
  page.blank();
  page.line("the dependencies between the lock to be acquired and " + signal + "-unsafe lock:",
            ReportPage::Style::kHeading);
  write_way_forwards(page, std::min(added + 1, report.chain.size()), report.chain.size(), taking);
  page.backtrace();
}

void write_inversion(ReportPage& page) {
  const Report& report = page.report();
  const std::string signal = signal_name(report.signal);
  page.header(56);
  page.who("just changed the state of lock:");
  page.lock(report.taking);
  if (report.taking.class_index == report.safe_class) {
    page.line("but this lock took another, " + signal + "-unsafe lock in the past:");
    page.line(page.text(report.unsafe_class));
  } else {
    page.line("but this lock was taken by another, " + signal + "-safe lock in the past:");
    page.line(page.text(report.safe_class));
  }
  page.lines({"", "", "and interrupts could create inverse lock ordering between them.", ""});
  page.other_info();
  write_signal_scenario(page, middle_of_chain(report));
  page.held_locks();
  page.blank();
  page.line("the shortest dependencies between 2nd lock and 1st lock:",
            ReportPage::Style::kHeading);
  if (report.taking.class_index == report.safe_class) {
    write_way_forwards(page, 0, report.chain.size(), report.safe_class);
  } else {
    write_way_backwards(page, 0, report.chain.size(), report.safe_class);
  }
  page.backtrace();
}

}  // namespace netfs::lockdep
