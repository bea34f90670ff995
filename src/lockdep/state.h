#pragma once
// State: all that a validator has learnt, and its inner workings; one file for each part:
//
//   state.cc     its beginning, the list of contexts, reset, delivery of findings
//   classes.cc   keys to classes, names, keys that go
//   acquire.cc   the hot path and what it leads to
//   release.cc   the other way
//   same_class.cc  locks of one class under each other (the kernel's check_deadlock)
//   learn.cc     something new: edges, witnesses, chains (validate_chain, check_prevs_add)
//   order.cc     declared orders; what happened before what
//   circles.cc   a new dependency closes a circle (check_noncircular), and its verdict
//   usage.cc     signals (check_irq_usage), wait types (check_wait_context)
//   signals.cc   handlers begin and end, signals are blocked
//   waits.cc     circular waits that are real
//   fork.cc      what a fork keeps, and locks whose holders it did not copy
//   claims.cc    assertions, pins, freed memory, ends
//   describe.cc  what a finding says
//   saved_seed.cc, saved_take.cc  what other runs did, and what they are told
//
// `lock` guards all but the list of contexts, which `registry` guards (taken after `lock`).  A name
// in brackets is where the kernel does the same.

#include <atomic>
#include <cstdint>

#include "lockdep/arena.h"
#include "lockdep/finding.h"
#include "lockdep/graph.h"
#include "lockdep/held_lock.h"
#include "lockdep/key_map.h"
#include "lockdep/segments.h"
#include "lockdep/spin_lock.h"
#include "lockdep/stack_depot.h"
#include "lockdep/validator.h"
#include "lockdep/verdict.h"
#include "lockdep/witness.h"

namespace netfs::lockdep {

// Which signals a class meets, a bit each, and where each state was first seen.
struct Usage {
  uint64_t held_write, held_read;            // unblocked while it was held
  uint64_t in_write, in_read, in_recursive;  // taken in their handlers, by mode
  uint32_t held_write_stack, held_read_stack;
  uint32_t in_write_stack, in_read_stack;
};

struct ClassRecord {
  const ClassKey* key;  // null once the key has gone
  const char* name;
  uint32_t version;
  uint32_t serial;  // never given twice
  uint8_t subclass;
  uint8_t wait_outer, wait_inner;
  bool watched;
  bool in_signals;       // listed in Learnt::signal_classes
  uint32_t watch_left;   // how much more will be looked at while it is watched
  bool one_lock;         // see Locks
  bool unclaimed;        // seeded; no key of this run has its identity yet
  const char* identity;  // null: its name
  uint32_t ip_stack;
  Usage usage;
};

// A circle of classes that was reported.
struct Circle {
  Circle* next;  // of the open ones
  uint64_t hash;
  uint32_t count;
  Verdict verdict;
  uint32_t edges[];  // the closing one first
};

// A lock that was held by a thread which a fork did not copy.
struct Orphan {
  Orphan* next;
  const Instance* instance;
  FoundLock lock;
  FoundContext holder;
};

// One acquisition on its way.
struct Acquisition {
  Context& context;
  const Instance& instance;
  const How& how;
  uintptr_t ip;
  bool sync = false;
  uint32_t class_id = 0;
  bool watched = false;
  uint64_t state = 0;  // as in HeldLock
  uint64_t key = 0;    // of the chain with it
  uint64_t probe = 0;  // what stands for it in the set of known chains, whoever does it
  uint64_t own = 0;    // and for it when this context does it
  uint32_t stack = 0;
  LockSet* held = nullptr;
};

// Something happened to a class that concerns signals.
struct UsageEvent {
  const Context& context;
  uint32_t class_id;
  const Instance* instance;
  Mode mode;
  uintptr_t ip;
  uint32_t stack;
};
// Which of the two that conflict: taken in a handler, or held with its signal unblocked.
enum class StateOf : uint8_t { kHandler, kHolder };

// How somebody waits: for a lock, or for all that hold it (Validator::sync).
enum class Waiting : uint8_t { kToTake, kForAll };

enum class SameClass : uint8_t { kFine, kNested };

struct State {
  explicit State(Validator& owner);

  struct Learnt {
    KeyMap class_by_key;  // mix(key address, subclass)
    KeyMap name_by_hash;
    KeyMap versions;  // of names: how many keys
    ChunkedArray<const char*> names;
    ChunkedArray<ClassRecord> classes;
    ChunkedArray<uint32_t> signal_classes;  // taken in handlers
    ChunkedArray<uint32_t> quarantine;      // classes whose numbers may stand in known chains
    ChunkedArray<uint32_t> free_classes;
    size_t live_classes = 0;
    uint32_t class_serial = 0;
    Graph graph;
    Segments segments;
    StackDepot stacks;
    KeyMap chains;  // probe -> contexts that did it (4 bits) and the stack of the first
    KeyMap seeds;   // hash of identity and subclass -> class
    ChunkedArray<const char*> runs;  // that were seeded: `program/pid`
    KeyMap circles;                  // hash -> verdict + 1
    KeyMap reported;                 // what else was reported, hash -> verdict + 1
    Circle* open = nullptr;
    Orphan* orphans = nullptr;
    Finding* first = nullptr;  // to be delivered
    Finding* last = nullptr;
    uint64_t misses = 0;
    uint64_t reports = 0;
  };

  // state.cc
  void enlist(Context& context);
  void delist(Context& context);
  static constexpr uint32_t kTwins = uint32_t{1} << 31;  // several of a role lived at once
  void reset();
  void deliver_all();
  void deliver_from(const Context& context);
  [[nodiscard]] bool full() const { return arena.full(); }

  // classes.cc
  uint32_t class_of(const ClassKey& key, unsigned subclass, uint64_t* word);
  uint32_t class_of_locked(const ClassKey& key, unsigned subclass);
  static uint64_t role_of(const Context& context);
  static uint64_t seed_hash(const char* identity, unsigned subclass);
  uint32_t claim_seeded(const ClassKey& key, unsigned subclass);
  const char* intern(const char* name);
  void forget_class(uint32_t id);
  void publish_class(uint32_t id);
  void watch(uint32_t id);
  void unwatch(uint32_t id);
  ClassRecord& record(uint32_t id) { return learnt.classes[id]; }
  uint64_t number_of(const Instance& instance);

  // acquire.cc
  void prepare(Acquisition& a);
  bool known(const Acquisition& a) const;
  void push(Acquisition& a);
  static bool make_room(State& state, Context& context);
  static uint64_t adopted_salt(const Context& context);

  // release.cc
  static void rebuild(Context& context, size_t index);
  static void remove(Context& context, size_t index);
  void report_bad_unlock(Context& context, const Instance& instance, uintptr_t ip);

  // same_class.cc
  SameClass check_same_class(const Acquisition& a);
  bool nest_is_held(const Acquisition& a);
  void report_recursion(const Acquisition& a, const Context& owner, const HeldLock& held,
                        const int* compared);

  // learn.cc
  void learn(Acquisition& a);
  void learn_edges(Acquisition& a);
  void learn_edge(Acquisition& a, const Gate& from);
  void remember(const Acquisition& a);
  void capture(uintptr_t ip, uintptr_t* frames, size_t* count) const;
  void fill_lock_set(Acquisition& a);
  uint32_t stack_of(uint64_t probe, uintptr_t ip) const;
  uint32_t segment_of(Context& context);
  void describe_learner(const Context& context, Witness& witness);
  void declare(uint32_t first, Mode held, uint32_t second, Mode taken);

  // circles.cc
  void close_circles(uint32_t edge, Acquisition* a, Mode held, Mode taken);
  Circle* new_circle(uint32_t edge);
  Judge judge();
  Verdict report_circle(Circle& circle, uint32_t edge, Acquisition* a);
  void judge_again(uint32_t edge, Acquisition& a);
  void emit_circle(Circle& circle, uint32_t edge, const Judgement& judgement,
                   const FoundList<FoundContext>& waiting, Acquisition* a);
  void open_circle(Circle& circle);
  void drop_circles_with(uint32_t edge);

  // usage.cc
  void mark_usage(const Acquisition& a);
  void mark_held(const UsageEvent& event, uint64_t signals);
  void mark_handled(const UsageEvent& event, uint64_t signals);
  void check_state(const UsageEvent& event, StateOf newer);
  void check_signal_paths(ReportKind kind, const UsageEvent& event);
  bool check_signal_path(ReportKind kind, const UsageEvent& event, uint32_t safe, uint64_t signals,
                         Mode taken);
  void report_signal_path(ReportKind kind, const UsageEvent& event, uint32_t safe, uint32_t unsafe,
                          int signal);
  void check_wait(const Acquisition& a);

  // signals.cc
  static void salt_signals(Context& context);

  // claims.cc
  static bool is_at(const Context& context, size_t index, const Instance& instance);
  void report_claim(Context& context, const Instance& instance, uintptr_t ip, const char* claim);
  void report_freed(Context& context, size_t index, uintptr_t from, uintptr_t to, uintptr_t ip,
                    const char* how);
  void report_ends(Context& context, const char* boundary, uintptr_t ip);

  // fork.cc
  void orphan_locks(const Context& gone);
  // The locks in [from, to) are no more, or new ones.
  void drop_orphans(uintptr_t from, uintptr_t to);
  // `context` is about to wait for `instance`: reports it if its holder is not there.
  void check_orphan(Context& context, const Instance& instance, const How& how, uintptr_t ip,
                    Waiting waiting);
  static void forget_orphans(State* state, uintptr_t from, uintptr_t to) {
    if (state == nullptr || !state->orphaned.load(std::memory_order_relaxed)) return;
    state->drop_orphans(from, to);
  }
  bool has_new_holder(const Context& context, const Orphan& orphan);

  // waits.cc
  // What `context` has adopted as long as it waits, for a scan to follow.
  void stands(Context& context, const Adopt* adopted) {
    if (context.standing_ == adopted) return;
    const SpinGuard guard(registry);
    context.standing_ = adopted;
  }
  // A lock that is held, and by whom; no owner: none is.
  struct Hold {
    const Context* owner = nullptr;
    size_t index = 0;
    uint64_t state = 0;
  };
  // Where `context`, or what it stands with, holds `instance`.
  static Hold find_kept(const Context& context, const Instance& instance);
  static Hold find_wanted(const Context& context);
  // Whether `start`, if it waits for `instance`, waits for itself.  Under `registry` as well.
  bool waits_in_circle(Context& start, const Instance& instance, Mode mode);
  bool keeps_waiting(const Context& other, const Context& start, const Context& first,
                     const Instance& wanted, Mode mode) const;
  [[nodiscard]] static bool still_waits(const Context& start);
  // Whether `context` has been in one wait since scan_waits_ was set.
  [[nodiscard]] static bool in_that_wait(const Context& context);
  // After waits_in_circle, under the same hold of `registry`.
  FoundList<FoundContext> list_waiting(const Context& start);
  void emit_waits(Context& start);
  Finding* describe_wait(Context& waiter);

  // describe.cc
  Finding* begin(ReportKind kind, Verdict verdict, const Context* context);
  void add(Finding* finding);
  // Whether this was not reported yet with this verdict or a higher one.
  bool first_time(ReportKind kind, uint64_t what, uint64_t which, Verdict verdict);
  ClassView view(uint32_t class_id);
  FoundLock describe(uint32_t class_id, const Instance& instance, const How& how, uintptr_t ip,
                     uint32_t stack);
  FoundLock describe(const Context& owner, size_t index);
  FoundLock describe(const WitnessEnd& end, uint32_t class_id);
  void describe_held(const Context& context, Finding& finding);
  void describe_edge(const Edge& edge, const Witness& witness, FoundEdge& out);
  template <typename T>
  FoundList<T> list(size_t count) {
    auto* items = static_cast<T*>(arena.allocate(count * sizeof(T)));
    const uint32_t room = items == nullptr ? 0 : static_cast<uint32_t>(count);
    return {.items = items, .count = room, .room = room};
  }

  // What `context` holds, and what it adopted holds, innermost first: f(owner, index) until it
  // returns false.  Stops at the beginning of a signal handler.
  template <typename F>
  static void for_each_held(const Context& context, const F& f);
  [[nodiscard]] static size_t held_count(const Context& context);
  // Where `instance` is in what the context itself holds, from 1; 0 if it is not.
  [[nodiscard]] static size_t find_held(const Context& context, const Instance& instance);

  Validator& validator;
  Arena arena;
  Arena context_arena;  // outlives reset
  SpinLock lock;
  SpinLock registry;
  Context* contexts = nullptr;
  KeyMap births;  // role -> how many of it live, and kTwins; under `registry`, in context_arena
  size_t context_count = 0;
  uint32_t scan_generation = 0;
  std::atomic<uint32_t> next_serial{1};
  std::atomic<bool> pending{false};   // findings are to be delivered
  std::atomic<bool> orphaned{false};  // Learnt::orphans is not empty
  uint64_t next_number = 1;
  Learnt learnt;
};

template <typename F>
void State::for_each_held(const Context& context, const F& f) {
  const auto walk = [&f](const Context& owner) {
    const HeldLock* held = owner.held_.load(std::memory_order_relaxed);
    for (size_t i = owner.depth(); i > 0; --i) {
      if ((held[i - 1].state.load(std::memory_order_relaxed) & held::kHandler) != 0) return false;
      if (!f(owner, i - 1)) return false;
    }
    return true;
  };
  if (!walk(context) || context.handlers_ != 0) return;
  for (const Adopt* adopt = context.adopted_; adopt != nullptr; adopt = adopt->next_) {
    if (!walk(adopt->context_)) return;
  }
}

}  // namespace netfs::lockdep
