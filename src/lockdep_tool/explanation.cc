#include "lockdep_tool/explanation.h"

#include <algorithm>

#include "lockdep/report_words.h"
#include "lockdep/suppression.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep_tool {
namespace {

using lockdep::Mode;
using lockdep::Report;
using lockdep::ReportedContext;
using lockdep::ReportedEdge;
using lockdep::ReportedLock;
using lockdep::ReportKind;
using lockdep::Stack;
using lockdep::Verdict;

class Teller {
 public:
  Teller(const Report& report, lockdep::Symbolizer& symbolizer)
      : report_(report), symbolizer_(symbolizer) {}

  std::string tell() {
    what();
    sure();
    advice();
    text_ += "\nIf it is known and wanted, this line in a suppression file keeps it quiet:\n    " +
             suppression_line(report_) + "\n";
    return text_;
  }

 private:
  [[nodiscard]] std::string name(uint32_t index) const {
    return "`" + class_name(report_.classes.at(index)) + "`";
  }
  [[nodiscard]] static std::string who(const ReportedContext& context) {
    return std::string(context.is_thread ? "thread " : "") + "`" +
           lockdep::printable(context.name) + "`" +
           (context.id == 0 ? "" : " (" + std::to_string(context.id) + ")");
  }
  // `in f (file:12)`: the innermost place of a stack.
  [[nodiscard]] std::string place(const Stack& stack) const {
    if (stack.empty()) return "at an unknown place";
    const std::vector<lockdep::Frame> frames = symbolizer_.resolve(stack.front());
    if (frames.empty()) return "at an unknown place";
    // What the compiler inlined of the C++ library (std::lock_guard) is nobody's business.
    const auto own = [](const lockdep::Frame& frame) {
      return !frame.inlined || frame.file.compare(0, 13, "/usr/include/") != 0;
    };
    const auto found = std::find_if(frames.begin(), frames.end(), own);
    const lockdep::Frame& frame = found == frames.end() ? frames.back() : *found;
    if (frame.function.empty()) return "at " + frame_text(frame);
    std::string text = "in " + lockdep::printable(frame.function);
    if (!frame.file.empty()) {
      const std::string line = frame.line > 0 ? ":" + std::to_string(frame.line) : "";
      text += " (" + lockdep::printable(frame.file) + line + ")";
    }
    return text;
  }
  [[nodiscard]] static std::string takes(const ReportedLock& lock) {
    if (lock.sync) return "waits for all who hold ";
    return lock.mode == Mode::kWrite ? "takes " : "takes, to read, ";
  }

  void circle() {
    const size_t count = report_.chain.size();
    text_ += count == 2 ? "Two locks are taken in opposite orders"
                        : std::to_string(count) + " locks are taken in orders that form a circle";
    text_ += ", so those who take them can end up waiting for each other for ever:\n\n";
    for (size_t i = 0; i < count; ++i) {
      const ReportedEdge& edge = report_.chain[i];
      const std::string number = "  " + std::to_string(i + 1) + ". ";
      if (edge.declared) {
        text_ += number + "it is declared that " + name(edge.to.class_index) +
                 " may be taken under " + name(edge.from.class_index) + "\n";
        continue;
      }
      text_ += number + who(edge.context) +
               (edge.run.empty() ? "" : " of another run, " + edge.run) + "\n     holds " +
               name(edge.from.class_index) + ", taken " + place(edge.from.stack) + ",\n     and " +
               takes(edge.to) + name(edge.to.class_index) + " " + place(edge.to.stack) + "\n";
    }
    text_ += report_.waiting.empty()
                 ? "\nIf each gets its first lock before any gets its second, none goes on.\n"
                 : "\nThis is what happens now: none of them goes on.\n";
  }

  void signals() {
    const std::string signal = lockdep::signal_name(report_.signal);
    text_ += name(report_.safe_class) + " is taken in a handler of " + signal + " (" +
             place(report_.old_state_stack) + ").  ";
    if (report_.kind == ReportKind::kInconsistentState) {
      text_ += "It is also held while " + signal + " can arrive (" + place(report_.stack) +
               "): if it arrives then, the handler waits for the thread that it interrupted.\n";
    } else {
      text_ += "Under it, over other locks, " + name(report_.unsafe_class) +
               " is waited for, which is held while " + signal + " can arrive (" +
               place(report_.unsafe_state_stack) +
               "): the handler then waits for the thread that it interrupted.\n";
    }
  }

  void what() {
    const std::string lock = name(report_.taking.class_index);
    const std::string where = place(report_.stack);
    const std::string self = who(report_.context);
    switch (report_.kind) {
      case ReportKind::kCircular:
        circle();
        break;
      case ReportKind::kRecursive:
        text_ += self + " takes " + lock + " " + where + " while it holds ";
        text_ += report_.holding && report_.holding->address == report_.taking.address
                     ? "that very lock: it waits for itself.\n"
                     : "another lock of the same class: two threads that do so with the locks "
                       "exchanged wait for each other.\n";
        break;
      case ReportKind::kInconsistentState:
      case ReportKind::kUnsafeOrder:
      case ReportKind::kInversion:
        signals();
        break;
      case ReportKind::kHeldLockFreed:
        text_ += self + " frees or destroys " + lock + " " + where + " while it is held.\n";
        break;
      case ReportKind::kBadUnlock:
        text_ += self + " releases " + lock + " " + where + ", but does not hold it.\n";
        break;
      case ReportKind::kNestedNotTaken:
        text_ += self + " takes " + lock + " " + where +
                 " as nested under a lock that it does not hold.\n";
        break;
      case ReportKind::kInvalidWait:
        text_ += self + " takes " + lock + " " + where +
                 ", which may sleep, while it holds a lock under which nobody may.\n";
        break;
      case ReportKind::kHeldAtExit:
        text_ += self + " came to " +
                 (report_.message.empty() ? "its end" : lockdep::printable(report_.message)) +
                 " and still holds:\n";
        for (const ReportedLock& held : report_.held) {
          text_ += "    " + name(held.class_index) + ", taken " + place(held.stack) + "\n";
        }
        break;
      case ReportKind::kOrphaned:
        text_ += self + " waits for " + lock + " " + where +
                 ", which was held at the fork by a thread that this child does not have: nobody "
                 "will release it.\n";
        break;
      case ReportKind::kAssertion:
        text_ += "A claim about " + lock + " is not true " + where + ": " +
                 lockdep::printable(report_.message) + "\n";
        break;
    }
  }

  void sure() {
    text_ += "\nHow sure: ";
    switch (report_.verdict) {
      case Verdict::kProved:
        text_ += "it is proved";
        break;
      case Verdict::kLikely:
        text_ += "likely; nothing that is known keeps the parts from meeting";
        break;
      case Verdict::kOrderOnly:
        text_ += report_.joined ? "not known, since different runs did the parts"
                                : "the orders conflict, but nothing shows that the parts can meet";
        break;
    }
    text_ += report_.reason.empty() ? ".\n" : ".  " + lockdep::printable(report_.reason) + ".\n";
  }

  void advice() {
    text_ += "\nWhat helps: ";
    switch (report_.kind) {
      case ReportKind::kCircular:
        text_ +=
            "take the locks in one order everywhere, or release the first before the second "
            "is taken, or take both at once (std::scoped_lock).\n";
        break;
      case ReportKind::kRecursive:
        text_ += "do not take it again, or order the locks of the class (by address, say).\n";
        break;
      case ReportKind::kInconsistentState:
      case ReportKind::kUnsafeOrder:
      case ReportKind::kInversion:
        text_ += "take no lock in the handler, or block the signal while the lock is held.\n";
        break;
      case ReportKind::kHeldLockFreed:
      case ReportKind::kHeldAtExit:
        text_ += "release it first, on every way out.\n";
        break;
      case ReportKind::kOrphaned:
        text_ += "take the lock around the fork (pthread_atfork), or call exec before any lock.\n";
        break;
      case ReportKind::kBadUnlock:
        text_ += "let who took a lock release it, once.\n";
        break;
      case ReportKind::kNestedNotTaken:
      case ReportKind::kInvalidWait:
      case ReportKind::kAssertion:
        text_ += "look at which locks are held at this place, and which should be.\n";
        break;
    }
  }

  const Report& report_;
  lockdep::Symbolizer& symbolizer_;
  std::string text_;
};

}  // namespace

std::string explanation(const Report& report, lockdep::Symbolizer& symbolizer) {
  return Teller(report, symbolizer).tell();
}

}  // namespace netfs::lockdep_tool
