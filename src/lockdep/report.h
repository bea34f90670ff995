#pragma once
// Report: what the validator found, as plain data.
//
// The core (graph, chains, verdicts) makes one and hands it to a sink; `report_text`, `report_json`
// and `report_dot` show it.  A report owns all it says, so it may be kept, queued and shown later.
// Stacks are return addresses, innermost first; `symbolizer` gives them names when they are shown.
//
// Order of `chain` for a circle: chain[0] is the new dependency (held -> taken); chain[i].to is
// chain[i + 1].from, and the last edge leads back to chain[0].from.  The kernel prints it in
// reverse: its #0 is the lock to be taken, its highest # the lock held.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace netfs::lockdep {

// How a lock is taken.  A recursive reader is not blocked by a waiting writer.
enum class Mode : uint8_t { kWrite = 0, kRead = 1, kRecursiveRead = 2 };

// How sure it is that this can happen.
enum class Verdict : uint8_t {
  kOrderOnly,  // the order is circular; nothing shows that the parts can meet (never an error)
  kLikely,     // distinct concurrent contexts, no common gate, instances consistent
  kProved,     // the contexts are in it now, or it needs nobody else
};

enum class ReportKind : uint8_t {
  kCircular,           // possible circular locking dependency detected
  kRecursive,          // possible recursive locking detected
  kInconsistentState,  // inconsistent lock state: taken in a handler, and with its signal unblocked
  kUnsafeOrder,        // SIG-safe -> SIG-unsafe lock order detected
  kInversion,          // possible irq lock inversion dependency detected
  kHeldLockFreed,      // held lock freed: its memory, or the lock itself, destroyed or made anew
  kBadUnlock,          // bad unlock balance detected
  kNestedNotTaken,     // Nested lock was not taken
  kInvalidWait,        // Invalid wait context
  kHeldAtExit,         // a context ended, or came to a boundary, with locks held
  kAssertion,          // an assertion held / not held / pinned failed
  kOrphaned,           // lock held by thread that does not exist in child: fork did not copy it
};

// Return addresses, innermost first; empty where no stack was kept.
using Stack = std::vector<uintptr_t>;

struct ReportedClass {
  std::string name;
  unsigned version = 1;   // `#2`, `#3` where several keys share a name; 1 is not printed
  unsigned subclass = 0;  // `/1` ..; 0 is not printed
  std::string usage;      // the kernel's characters, one pair for all signals, such as "+."
  unsigned wait_outer = 0;
  unsigned wait_inner = 0;
};

// A thread, or an explicit context that a request carries.
struct ReportedContext {
  std::string name;  // the thread's comm, or what the context was named
  uint64_t id = 0;   // the thread's id, or the context's number
  bool is_thread = true;
};

struct ReportedLock {
  uint32_t class_index = 0;  // in Report::classes
  uint64_t address = 0;      // the lock's, or the pseudo-lock's; 0 where an order was declared
  Mode mode = Mode::kWrite;
  bool trylock = false;
  bool sync = false;  // a wait on a lock-like map: nothing is held afterwards
  Stack stack;        // of the acquisition; at least the caller's address
};

// One dependency: in one context `to` was taken while `from` was held.
struct ReportedEdge {
  ReportedLock from;
  ReportedLock to;
  ReportedContext context;
  int64_t time_ns = 0;              // CLOCK_REALTIME of the recording
  bool declared = false;            // nobody did it: the order was declared (declare_order)
  std::string run;                  // another run did it: `program/pid`; empty: this one
  std::vector<ReportedLock> gates;  // what else was held at both acquisitions
};

struct Report {
  ReportKind kind = ReportKind::kCircular;
  Verdict verdict = Verdict::kOrderOnly;
  std::string reason;  // of the verdict, one clause: "gate `vfs.table` held on both sides"
  // Its parts were done in different runs, of which saved graphs told, and nothing is known that
  // keeps them apart; if it is ORDER-ONLY, that is for want of knowledge.
  bool joined = false;

  std::vector<ReportedClass> classes;
  ReportedContext context;                // who came upon it
  ReportedLock taking;                    // the lock to be taken, released, freed or asserted
  std::optional<ReportedLock> holding;    // the held one that conflicts
  std::optional<ReportedContext> holder;  // kOrphaned: the thread that held `holding`, as it was
  std::vector<ReportedEdge> chain;  // see above; for kUnsafeOrder and kInversion: from the safe
                                    // lock to the unsafe one
  std::vector<ReportedLock> held;   // all that the context holds, outermost first
  Stack stack;                      // where it was found
  std::vector<ReportedContext> waiting;  // kProved circles: who waits, in the order of the chain

  // kInconsistentState, kUnsafeOrder, kInversion.
  int signal = 0;             // 1..64; 0 where signals play no part
  std::string old_state;      // "IN-SIGUSR1-W"
  std::string new_state;      // "SIGUSR1-ON-W"
  Stack old_state_stack;      // where the old state was registered
  Stack unsafe_state_stack;   // where the unsafe lock became so
  uint32_t safe_class = 0;    // in `classes`
  uint32_t unsafe_class = 0;  // in `classes`

  std::optional<int> compare_result;  // kRecursive: what the comparison function returned
  uint64_t freed_from = 0;            // kHeldLockFreed: the memory, half-open
  uint64_t freed_to = 0;
  unsigned context_wait = 0;  // kInvalidWait: what the context allows (context-{x:x})
  std::string message;        // kAssertion, kHeldAtExit: what was claimed, or at which boundary
};

}  // namespace netfs::lockdep
