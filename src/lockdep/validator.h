#pragma once
// Validator: learns in which order locks are taken, and reports orders that can deadlock, whether
// or not they did.  The kernel's lockdep for user space; it knows nothing of threads or pthread:
// events in, reports out.
//
// Events come from whoever wraps the locks.  `acquire` comes BEFORE the real lock is taken, so that
// a deadlock is reported before it hangs; a lock that was not got after all is taken back by
// `acquire_failed`.  `ip` is the caller's address (__builtin_return_address(0)).
//
//   void Mutex::lock() {
//     validator.acquire(context, instance_, {}, ip);
//     if (!mutex_.try_lock()) {                       // the kernel's LOCK_CONTENDED
//       validator.contended(context, instance_);
//       mutex_.lock();
//       validator.acquired(context, instance_);
//     }
//   }
//
// Thread-safe: any thread may bring events of its own contexts.  Known behaviour costs no lock, no
// search and no shared write; something new takes the validator's own spin lock, captures a stack
// and searches.  No event allocates from the heap; only the building of a report does, with no lock
// of the validator held.  Safe in signal handlers: an event inside the validator (from a handler
// that interrupted it, from the sink) is ignored, the matching release as well; a report that a
// handler comes upon waits for the next event outside of one.
//
// Memory is mapped in chunks and grows as needed.  At Options::memory_bytes_max new classes and
// chains are no longer learnt (says Statistics::memory_full); what is known goes on being checked.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lockdep/chain_set.h"
#include "lockdep/class_key.h"
#include "lockdep/context.h"
#include "lockdep/instance.h"
#include "lockdep/report.h"

namespace netfs::lockdep {

struct SavedGraph;
struct SavedRun;

// Whether the taker would wait.
enum class Attempt : uint8_t {
  kBlocking,  // for ever
  kTry,       // not at all: it cannot close a circle
  kTimed,     // for a time: circles through it are ORDER-ONLY
};

// Whether the same context may take the same lock again.
enum class Reentry : uint8_t { kForbidden, kAllowed };

// How a lock is taken.
struct How {
  Mode mode = Mode::kWrite;
  uint8_t subclass = 0;  // 0..7
  Attempt attempt = Attempt::kBlocking;
  Reentry reentry = Reentry::kForbidden;
  // Held already, and by all who take several of this class: it makes their order irrelevant.
  const Instance* nest = nullptr;
};

// Writes at most `max` return addresses, innermost first, and returns how many.  Called when
// something new is learnt, in signal handlers too: it must not allocate or lock.
using StackSource = size_t (*)(void* user, uintptr_t* frames, size_t max);

// Gets each report, on the thread that came upon it.  Locks it takes are not validated.
using Sink = void (*)(void* user, const Report& report);

// A moment in one context, for publish and observe.
using Segment = uint32_t;

// Remembers which hold `pin` marked.
struct Pin {
  const Instance* instance = nullptr;
};

struct ClassInfo {
  uint32_t id = 0;
  std::string name;
  unsigned version = 1;
  unsigned subclass = 0;
  std::string usage;
  unsigned wait_outer = 0;
  unsigned wait_inner = 0;
  size_t forward = 0;   // direct dependencies after it
  size_t backward = 0;  // and before it
};

// Which strengths of one dependency were seen: from a writer (E) or a reader (S), to a recursive
// reader (R) or any other taker (N).
enum EdgeKinds : uint8_t { kSR = 1, kER = 2, kSN = 4, kEN = 8 };

struct EdgeInfo {
  uint32_t from = 0;  // ClassInfo::id
  uint32_t to = 0;
  uint8_t kinds = 0;  // EdgeKinds
  bool declared = false;
  bool observed = false;
  bool in_circle = false;  // part of a circle that was reported
};

struct Statistics {
  size_t classes = 0;
  size_t edges = 0;
  size_t chains = 0;         // known (chain, context) pairs
  size_t stacks = 0;         // kept
  uint64_t acquires = 0;     // of living contexts
  uint64_t misses = 0;       // acquires that were something new
  uint64_t searches = 0;     // of the graph
  uint64_t reports = 0;      // given to the sink, by any verdict
  size_t contexts = 0;       // living
  size_t memory_bytes = 0;   // mapped
  bool memory_full = false;  // new behaviour is no longer learnt
};

class Validator {
 public:
  // Which circles of classes count as LIKELY: kByClass takes the word of the classes, one lock for
  // another; kExact wants the very same locks on both sides (for tools that guess classes), and of
  // two locks of one class under each other says ORDER-ONLY.
  enum class Match : uint8_t { kByClass, kExact };

  struct Options {
    Sink sink = nullptr;
    void* sink_user = nullptr;
    StackSource stacks = nullptr;  // without one a stack is the caller's address
    void* stacks_user = nullptr;
    Match match = Match::kByClass;
    size_t memory_bytes_max = SIZE_MAX;
  };

  // Costs nothing; memory is mapped at the first event.
  constexpr Validator() = default;
  explicit Validator(const Options& options) : options_(options) {}
  ~Validator();
  Validator(const Validator&) = delete;
  Validator& operator=(const Validator&) = delete;

  // Before the first event.
  void configure(const Options& options) { options_ = options; }
  // Forgets classes, orders and reports; no context may hold a lock.  Contexts stay.
  void reset();

  // --- Locks.
  // A lock came to life.  Needed only where memory may hold the old one still: reports a held one.
  void init(Context& context, const Instance& instance, uintptr_t ip);
  void destroy(Context& context, const Instance& instance, uintptr_t ip);
  void acquire(Context& context, const Instance& instance, const How& how, uintptr_t ip);
  // The lock was not free and a real wait begins / ended.  Makes PROVED possible.
  void contended(Context& context, const Instance& instance);
  void acquired(Context& context, const Instance& instance);
  // It was not got: timed out, EDEADLK, a failed try that had been announced.
  void acquire_failed(Context& context, const Instance& instance, uintptr_t ip);
  // False: the context does not hold it, which is reported.
  bool release(Context& context, const Instance& instance, uintptr_t ip);
  // The held lock goes on in another mode (a writer becomes a reader).
  void downgrade(Context& context, const Instance& instance, Mode mode, uintptr_t ip);
  // Waits for all that hold it, and holds nothing afterwards: flush, join, wait for completion.
  void sync(Context& context, const Instance& instance, const How& how, uintptr_t ip);
  // A condition variable gives `mutex` up and takes it again after.  wait_begins checks the order
  // of the re-taking, under all that stays held.
  void wait_begins(Context& context, const Instance& mutex, uintptr_t ip);
  void wait_ends(Context& context, const Instance& mutex, uintptr_t ip);

  // --- Claims.  Each reports and returns false where it is not so.
  bool assert_held(Context& context, const Instance& instance, uintptr_t ip);
  bool assert_not_held(Context& context, const Instance& instance, uintptr_t ip);
  Pin pin(Context& context, const Instance& instance, uintptr_t ip);
  void unpin(Context& context, const Pin& pin, uintptr_t ip);

  // --- Memory and boundaries.
  // [from, to) is freed: reports locks of this context that lie in it.
  void memory_freed(Context& context, const void* from, const void* to, uintptr_t ip);
  // The context ends, or comes to a boundary with a name, and should hold nothing.
  void ends(Context& context, const char* boundary, uintptr_t ip);

  // --- Orders that nobody has done yet but that exist: `first` is held when `second` is taken.
  void declare_order(const ClassKey& first, const ClassKey& second);
  void declare_order(const ClassKey& first, Mode held, const ClassKey& second, Mode taken);

  // --- Signals, 1..64.
  void signal_enter(Context& context, int signal);
  void signal_leave(Context& context, int signal);
  // Bit n-1 set: signal n is blocked.
  void set_blocked_signals(Context& context, uint64_t mask, uintptr_t ip);

  // --- What happens before what: all before publish happens before all after its observe.
  // Thread creation: publish by the creator, observe by the new thread; join the other way round.
  Segment publish(Context& context);
  void observe(Context& context, Segment segment);

  // The context is a thread that the code at `site` made: it has the role of all that are made
  // there.  Before its first lock; the creator's address, not that of a library's thread wrapper.
  void born(Context& context, uintptr_t site);

  // --- For those who guess classes, and whose Instances do not lie in the locks.
  // What the context itself holds, innermost first; returns how many were written.
  static size_t held(const Context& context, const Instance** out, size_t max);
  // A lock of `key` that the context itself holds and that is not `instance`; else null.
  static const Instance* held_other(const Context& context, const ClassKey& key,
                                    const Instance& instance);
  // False: the context itself holds no lock of `key`.  By the classes' bits only, for a hot path;
  // defined in held_lock.h.
  [[nodiscard]] bool may_hold(const Context& context, const ClassKey& key) const;
  // From now on the lock is of `key`: what the context holds at once, what others hold when they
  // take it again.  Orders of the old class stay with the old class.
  void reclassify(Context& context, const Instance& instance, const ClassKey& key);
  // As memory_freed, of a lock that lies in [from, to) where its Instance does not.
  void lock_freed(Context& context, const Instance& instance, const void* from, const void* to,
                  uintptr_t ip);

  // --- Keys that do not live for ever; no lock of theirs may be held.
  void forget(const ClassKey& key);

  // --- Circular waits that are real now: for a watchdog.  Reports each once, as PROVED; returns
  // how many contexts are in one.
  size_t scan_waits();
  // Who waits now, for what, and what each holds meanwhile: a report each, with `taking` the lock
  // that is waited for and `waiting` those who hold it.  Not given to the sink.
  [[nodiscard]] std::vector<Report> waits();
  // Gives the sink what signal handlers came upon.
  void deliver();

  // --- What was learnt.
  [[nodiscard]] std::vector<ClassInfo> classes();
  [[nodiscard]] std::vector<EdgeInfo> edges();
  [[nodiscard]] Statistics statistics();

  // --- Other runs (saved_graph.h).
  // What this run did; what was seeded is left out.  Classes without an identity, whose name
  // several keys share, are left out as well.
  [[nodiscard]] SavedGraph save(const SavedRun& run);
  // Takes in what other runs did: whatever this one does is checked together with it.  Once, before
  // the first event.  Stacks of reports then refer to places of `graph`: SavedSymbolizer.
  void seed(const SavedGraph& graph);
  // Reports the circles of what was seeded, whether or not this run does any of it.
  void check_seeded();

  // --- Around fork, on the forking thread; not from a handler that may have interrupted an event.
  // Nothing is learnt in between, so that the child gets whole tables: all that was learnt.
  void before_fork();
  void after_fork_in_parent();
  // `survivor` is the forking thread's context (null: it has none) and holds what it held; `id` is
  // the thread's new one (0: unchanged).  Contexts of kind kThread but for that are no more, and
  // what they held is orphaned: whoever waits for such a lock (contended, sync) is reported, and
  // nobody else.  Contexts of kind kWork live on.
  void after_fork_in_child(Context* survivor, uint64_t id = 0);

 private:
  friend class Context;
  friend class Adopt;
  friend struct State;

  void acquire_slowly(Context& context, const Instance& instance, const How& how, uintptr_t ip);
  bool release_slowly(Context& context, const Instance& instance, uintptr_t ip);
  State& state();

  // What the hot path reads: one line, written only when classes come, go or become watched.
  std::atomic<uint32_t> epoch_{UINT32_MAX};
  ChainSet chains_;
  std::atomic<State*> state_{nullptr};
  Options options_{};
};

// A key with an end: its classes are forgotten with it.
class DynamicKey : public ClassKey {
 public:
  DynamicKey(Validator& validator, const char* name, const Rules& rules = Rules())
      : ClassKey(name, rules), validator_(validator) {}
  ~DynamicKey() { validator_.forget(*this); }

 private:
  Validator& validator_;
};

}  // namespace netfs::lockdep
