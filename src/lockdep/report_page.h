#pragma once
// ReportPage: the text of one report while it is written; the parts that all kinds have.
//
// For report_text*.cc only.  Borrows the report and the symbolizer for its life.  Each member
// writes whole lines and names the kernel's function whose layout it has.

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

#include "lockdep/report.h"
#include "lockdep/report_text.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep {

class ReportPage {
 public:
  ReportPage(const Report& report, Symbolizer& symbolizer, const TextOptions& options)
      : report_(report), symbolizer_(symbolizer), options_(options) {}

  enum class Style { kPlain, kHeading, kAlarm };

  void line(std::string_view text, Style style = Style::kPlain);
  void lines(std::initializer_list<std::string_view> texts);
  void blank() { line(""); }

  // The rule, `WARNING: title`, whose report it is, and the second rule.
  void header(size_t rule_length);
  // `NAME/PID is trying to acquire lock:` and such.
  void who(std::string_view does);
  // `ADDR (NAME){USAGE}-{O:I}, at: SYM+off/len` (print_lock).
  void lock(const ReportedLock& lock) { line(lock_text(lock)); }
  // `[<ADDR>] SYM+off/len` (print_ip_sym).
  void at(uintptr_t address);
  // `other info that might help us debug this:`, with a blank line before it.
  void other_info();
  // ` *** DEADLOCK ***` between blank lines.
  void deadlock();
  // A stack's frames behind so many spaces; says so where there is none.
  void stack(const Stack& stack, size_t indent);
  // All held locks (lockdep_print_held_locks).
  void held_locks();
  // `stack backtrace:`, who and where (dump_stack); with a blank line before it or none.
  void backtrace();
  void backtrace_at_once();
  // Both stacks of a dependency, who did it and when: for all edges but the new one, where `to`'s
  // stack stands in the kernel's page as well.
  void edge_stacks(const ReportedEdge& edge, size_t indent);
  // Verdict, who waits, and the line that silences it.
  void verdict();

  [[nodiscard]] std::string lock_text(const ReportedLock& lock);
  [[nodiscard]] std::string name(uint32_t class_index) const;  // NAME#2/1
  [[nodiscard]] std::string text(uint32_t class_index) const;  // ` (NAME){..}-{..}`
  [[nodiscard]] const Report& report() const { return report_; }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  [[nodiscard]] std::string address_text(uintptr_t address);

  const Report& report_;
  Symbolizer& symbolizer_;
  const TextOptions& options_;
  std::string text_;
};

// The kinds that have a file of their own.
void write_circular(ReportPage& page);
void write_recursive(ReportPage& page);
void write_inconsistent_state(ReportPage& page);
void write_unsafe_order(ReportPage& page);
void write_inversion(ReportPage& page);

}  // namespace netfs::lockdep
