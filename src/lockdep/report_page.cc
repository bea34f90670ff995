#include "lockdep/report_page.h"

#include "lockdep/report_words.h"
#include "lockdep/suppression.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kRed = "\x1b[1;31m";
constexpr std::string_view kNormal = "\x1b[0m";

}  // namespace

void ReportPage::line(std::string_view text, Style style) {
  const bool coloured = options_.colour == Colour::kTerminal && style != Style::kPlain;
  if (coloured) text_ += style == Style::kAlarm ? kRed : kBold;
  text_ += text;
  if (coloured) text_ += kNormal;
  text_ += '\n';
}

void ReportPage::lines(std::initializer_list<std::string_view> texts) {
  for (const std::string_view text : texts) line(text);
}

void ReportPage::header(size_t rule_length) {
  line(std::string(rule_length, '='));
  // This one page of the kernel's has brackets and another word.
  if (report_.kind == ReportKind::kInvalidWait) {
    line("[ BUG: " + kind_title(report_) + " ]", Style::kAlarm);
  } else {
    line("WARNING: " + kind_title(report_), Style::kAlarm);
  }
  line(identity_line(options_.identity));
  line(std::string(rule_length, '-'));
}

void ReportPage::who(std::string_view does) {
  line(context_text(report_.context) + " " + std::string(does));
}

void ReportPage::other_info() {
  blank();
  line("other info that might help us debug this:", Style::kHeading);
}

void ReportPage::deadlock() {
  blank();
  line(" *** DEADLOCK ***", Style::kAlarm);
  blank();
}

std::string ReportPage::name(uint32_t class_index) const {
  return class_name(report_.classes.at(class_index));
}

std::string ReportPage::text(uint32_t class_index) const {
  return class_text(report_.classes.at(class_index));
}

std::string ReportPage::address_text(uintptr_t address) {
  // The function that has the code, as the kernel's %pS; inlined ones are in the stacks.
  return frame_text(symbolizer_.resolve(address).back());
}

std::string ReportPage::lock_text(const ReportedLock& lock) {
  std::string line = hex_padded(lock.address) + text(lock.class_index);
  if (!lock.stack.empty()) line += ", at: " + address_text(lock.stack.front());
  return line;
}

void ReportPage::at(uintptr_t address) {
  line("[<" + hex_padded(address) + ">] " + address_text(address));
}

void ReportPage::stack(const Stack& stack, size_t indent) {
  const std::string spaces(indent, ' ');
  if (stack.empty()) line(spaces + "(no stack was kept)");
  for (const uintptr_t address : stack) {
    for (const Frame& frame : symbolizer_.resolve(address)) line(spaces + frame_text(frame));
  }
}

void ReportPage::held_locks() {
  const std::string who = context_text(report_.context);
  const size_t count = report_.held.size();
  if (count == 0) {
    line("no locks held by " + who + ".");
    return;
  }
  line(std::to_string(count) + (count > 1 ? " locks" : " lock") + " held by " + who + ":",
       Style::kHeading);
  for (size_t i = 0; i < count; ++i) {
    line(" #" + std::to_string(i) + ": " + lock_text(report_.held[i]));
  }
}

void ReportPage::backtrace() {
  blank();
  backtrace_at_once();
}

void ReportPage::backtrace_at_once() {
  const ReportedContext& context = report_.context;
  line("stack backtrace:", Style::kHeading);
  std::string who;
  if (options_.identity.process != 0) {
    who = "PID: " + std::to_string(options_.identity.process) + " ";
  }
  who += (context.is_thread ? "TID: " : "Context: ") + std::to_string(context.id);
  line(who + (context.is_thread ? " Comm: " : " Name: ") + printable(context.name) + " " +
       identity_line(options_.identity));
  line("Call Trace:");
  stack(report_.stack, 1);
}

void ReportPage::edge_stacks(const ReportedEdge& edge, size_t indent) {
  const std::string spaces(indent, ' ');
  if (edge.declared) {
    line(spaces + "declared order: after" + text(edge.from.class_index));
    return;
  }
  stack(edge.to.stack, indent);
  const std::string held = spaces + "... while holding" + text(edge.from.class_index);
  if (edge.from.stack == edge.to.stack && !edge.to.stack.empty()) {
    line(held + ", of the same stack");
  } else {
    line(held + ", taken at:");
    stack(edge.from.stack, indent);
  }
  std::string gates;
  for (const ReportedLock& gate : edge.gates) gates += text(gate.class_index);
  if (!gates.empty()) line(spaces + "... under" + gates);
  std::string who = spaces + "... by " + context_text(edge.context);
  if (edge.time_ns != 0) who += " at " + time_text(edge.time_ns);
  if (!edge.run.empty()) who += " in another run, " + printable(edge.run);
  line(who);
}

void ReportPage::verdict() {
  blank();
  std::string text = "verdict: " + std::string(verdict_word(report_.verdict));
  if (!report_.reason.empty()) text += ": " + printable(report_.reason);
  line(text, Style::kHeading);
  for (size_t i = 0; i < report_.waiting.size(); ++i) {
    std::string waits = "  " + context_text(report_.waiting[i]);
    if (i < report_.chain.size()) {
      waits += " holds" + this->text(report_.chain[i].from.class_index) + " and waits for" +
               this->text(report_.chain[i].to.class_index);
    } else {
      waits += " waits";
    }
    line(waits);
  }
  line("to silence it: " + suppression_line(report_));
}

}  // namespace netfs::lockdep
