#pragma once
// Context: who holds locks; a thread, or a piece of work that goes from thread to thread.
//
// A thread has one of its own (lockdep.h gives it).  A request carries another, in which it holds
// pseudo-locks: "a fault waits for me".  Whoever works for the request adopts it: what an adopted
// context holds counts as held by the adopter, and a lock that the adopter takes meanwhile is taken
// under it.  The adopter's own locks stay its own.
//
// Thread-safety: one thread at a time calls the Validator on a context.  Any number of threads may
// have adopted one, as long as nobody changes what it holds meanwhile.  A context outlives its
// adoptions, and the Validator outlives its contexts.
//
//   Context request(process(), "read 42");
//   process().acquire(request, kFaultMap, {.mode = Mode::kRecursiveRead}, ip);
//   ...
//   Adopt adopt(this_context(), request);     // on any thread that works for it

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lockdep/instance.h"
#include "lockdep/report.h"

namespace netfs::lockdep {

class Adopt;
class Validator;
struct State;  // what a validator has learnt: state.h

// One held lock.  `state` and `instance` may be read by another thread that looks for circular
// waits; all else belongs to the context's user.
struct HeldLock {
  std::atomic<const Instance*> instance{nullptr};
  std::atomic<uint64_t> state{0};  // class, mode, attempt: see held_lock.h
  uint64_t previous_key = 0;       // the chain below this lock
  uint64_t previous_mask = 0;      // the classes below this lock, a bit each by number modulo 64
  uintptr_t ip = 0;
  uint32_t again = 0;  // re-entries of a recursive mutex
  uint32_t pins = 0;
};

enum class ContextKind : uint8_t { kWork, kThread };

class Context {
 public:
  // `name`: its first 23 bytes are kept.  `id` is shown in reports: the thread's, or any.
  Context(Validator& validator, const char* name, ContextKind kind = ContextKind::kWork,
          uint64_t id = 0);
  // Reports what is still held, as Validator::ends does.
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] size_t depth() const { return depth_.load(std::memory_order_relaxed); }
  [[nodiscard]] const char* name() const { return name_; }
  // Whether a lock of this key, any subclass, is held here or by what is adopted.
  [[nodiscard]] bool holds(const ClassKey& key) const;

 private:
  friend class Adopt;
  friend class Validator;
  friend struct State;

  static constexpr size_t kInline = 4;
  static constexpr unsigned kNameBytes = 24;

  std::atomic<HeldLock*> held_;
  std::atomic<uint32_t> depth_{0};
  uint32_t capacity_ = kInline;
  uint64_t key_;               // of the chain that is held
  uint64_t mask_ = 0;          // of the classes that are held
  uint64_t seed_ = 0;          // of who it is: context and segment
  uint64_t signals_salt_ = 0;  // of the signal state
  uint64_t role_ = 0;          // of all contexts that the same code makes; 0: not known yet
  const Adopt* adopted_ = nullptr;
  uint32_t segment_ = 0;
  uint32_t serial_ = 0;    // never given twice
  uint64_t blocked_ = 0;   // signals, bit n-1 for signal n
  uint64_t handling_ = 0;  // signals whose handlers run
  uint8_t handlers_ = 0;   // how many, one inside the other
  ContextKind kind_;
  bool born_ = false;  // counted in State::births
  std::atomic<uint64_t> acquires_{0};
  std::atomic<const Instance*> waiting_{nullptr};  // for a real wait: see Validator::contended
  std::atomic<uint64_t> waits_{0};                 // how many waits began
  // adopted_ while it waits; under the validator's `registry`.
  const Adopt* standing_ = nullptr;
  uint32_t lost_ = 0;              // held, but there was no memory to say so
  Mode wait_mode_ = Mode::kWrite;  // how the mutex of a condition wait was held
  uint8_t wait_subclass_ = 0;
  Validator& validator_;
  uint64_t id_;
  bool listed_ = false;          // false once its thread was left behind by a fork
  Context* previous_ = nullptr;  // in the validator's list
  Context* next_ = nullptr;
  uint32_t scan_ = 0;  // the search for circular waits that last came here
  Context* scan_from_ = nullptr;
  Context* scan_next_ = nullptr;
  uint64_t scan_waits_ = 0;  // waits_ as it found it
  char name_[kNameBytes] = {};
  HeldLock inline_[kInline];
};

// Adopts a context for a scope.  Scopes nest and end in reverse order.
class Adopt {
 public:
  // Whether contexts that were adopted before still count: they wait for this thread as well.
  enum class Outer : uint8_t { kCounts, kHidden };

  // Without an adopter (a thread that ended, see this_context) nothing happens.
  Adopt(Context* adopter, const Context& adopted, Outer outer = Outer::kCounts);
  ~Adopt();
  Adopt(const Adopt&) = delete;
  Adopt& operator=(const Adopt&) = delete;

 private:
  friend class Validator;
  friend struct State;
  friend class Context;
  Context* adopter_;
  const Context& context_;
  const Adopt* before_;  // what comes back at the end
  const Adopt* next_;    // the next that counts
};

}  // namespace netfs::lockdep
