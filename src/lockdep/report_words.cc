#include "lockdep/report_words.h"

#include "lockdep/text_format.h"

namespace netfs::lockdep {

std::string_view kind_word(ReportKind kind) {
  switch (kind) {
    case ReportKind::kCircular:
      return "circular";
    case ReportKind::kRecursive:
      return "recursive";
    case ReportKind::kInconsistentState:
      return "inconsistent-state";
    case ReportKind::kUnsafeOrder:
      return "unsafe-order";
    case ReportKind::kInversion:
      return "inversion";
    case ReportKind::kHeldLockFreed:
      return "held-lock-freed";
    case ReportKind::kBadUnlock:
      return "bad-unlock";
    case ReportKind::kNestedNotTaken:
      return "nested-not-taken";
    case ReportKind::kInvalidWait:
      return "invalid-wait";
    case ReportKind::kHeldAtExit:
      return "held-at-exit";
    case ReportKind::kAssertion:
      return "assertion";
    case ReportKind::kOrphaned:
      return "orphaned";
  }
  return "unknown";
}

std::string kind_title(const Report& report) {
  switch (report.kind) {
    case ReportKind::kCircular:
      return "possible circular locking dependency detected";
    case ReportKind::kRecursive:
      return "possible recursive locking detected";
    case ReportKind::kInconsistentState:
      return "inconsistent lock state";
    case ReportKind::kUnsafeOrder: {
      const std::string signal = signal_name(report.signal);
      return signal + "-safe -> " + signal + "-unsafe lock order detected";
    }
    case ReportKind::kInversion:
      return "possible irq lock inversion dependency detected";
    case ReportKind::kHeldLockFreed:
      return "held lock freed!";
    case ReportKind::kBadUnlock:
      return "bad unlock balance detected!";
    case ReportKind::kNestedNotTaken:
      return "Nested lock was not taken";
    case ReportKind::kInvalidWait:
      return "Invalid wait context";
    case ReportKind::kHeldAtExit:
      if (report.message.empty()) return context_text(report.context) + " still has locks held!";
      return "lock held at " + printable(report.message) + "!";
    case ReportKind::kAssertion:
      return "lock assertion failed";
    case ReportKind::kOrphaned:
      return "lock held by thread that does not exist in child";
  }
  return "unknown";
}

std::string_view verdict_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOrderOnly:
      return "ORDER-ONLY";
    case Verdict::kLikely:
      return "LIKELY";
    case Verdict::kProved:
      return "PROVED";
  }
  return "unknown";
}

std::string_view mode_word(Mode mode) {
  switch (mode) {
    case Mode::kWrite:
      return "write";
    case Mode::kRead:
      return "read";
    case Mode::kRecursiveRead:
      return "recursive-read";
  }
  return "unknown";
}

std::string class_name(const ReportedClass& lock_class) {
  std::string name = printable(lock_class.name);
  if (lock_class.version > 1) name += "#" + std::to_string(lock_class.version);
  if (lock_class.subclass > 0) name += "/" + std::to_string(lock_class.subclass);
  return name;
}

std::string class_text(const ReportedClass& lock_class) {
  return " (" + class_name(lock_class) + "){" + printable(lock_class.usage) + "}-{" +
         std::to_string(lock_class.wait_outer) + ":" + std::to_string(lock_class.wait_inner) + "}";
}

std::string context_text(const ReportedContext& context) {
  return printable(context.name) + "/" + std::to_string(context.id);
}

std::vector<uint32_t> class_path(const Report& report) {
  std::vector<uint32_t> path;
  if (report.kind == ReportKind::kRecursive && report.chain.empty()) {
    const uint32_t held = report.holding ? report.holding->class_index : report.taking.class_index;
    return {held, report.taking.class_index};
  }
  if (report.kind == ReportKind::kHeldAtExit) {
    for (const ReportedLock& lock : report.held) path.push_back(lock.class_index);
    return path;
  }
  if (report.chain.empty()) {
    if (!report.classes.empty()) path.push_back(report.taking.class_index);
    return path;
  }
  if (report.kind != ReportKind::kCircular) {
    path.push_back(report.chain.front().from.class_index);
    for (const ReportedEdge& edge : report.chain) path.push_back(edge.to.class_index);
    return path;
  }
  // The kernel's chain begins with the lock to be taken: the new edge's end.
  for (const ReportedEdge& edge : report.chain) path.push_back(edge.to.class_index);
  path.push_back(report.chain.front().to.class_index);
  return path;
}

std::string class_path_text(const Report& report) {
  std::string text;
  for (const uint32_t index : class_path(report)) {
    if (!text.empty()) text += " -> ";
    text += class_name(report.classes.at(index));
  }
  return text;
}

std::string summary_line(const Report& report) {
  std::string line = "lockdep: ";
  line += verdict_word(report.verdict);
  line += ": " + kind_title(report);
  if (const std::string path = class_path_text(report); !path.empty()) line += ": " + path;
  return line;
}

}  // namespace netfs::lockdep
