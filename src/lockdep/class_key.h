#pragma once
// ClassKey: what makes locks the same to the validator.  All locks of one key, and one subclass
// of it, are one class: an order learnt from two of them holds for all of them.
//
// A key is static and constant-initialised, so that it may be used before main and after static
// destructors.  One that does not live for ever is a DynamicKey (validator.h): when it goes, its
// classes go with all their orders and known chains.
//
// Wait types say how a lock waits, and what may be waited for while it is held: under a spin lock
// nobody may wait for a mutex.  A lock may be taken if its `outer` is at most the smallest `inner`
// of all that is held.  kUnchecked takes no part, as the kernel's {0:0}.
//
//   inline constinit ClassKey kInodeTable{"vfs.inode_table"};
//   inline constinit ClassKey kNode{"tree.node", {.order = Order::kByAddress}};

#include <atomic>
#include <cstdint>

namespace netfs::lockdep {

struct State;

enum class Wait : uint8_t {
  kUnchecked = 0,
  kFree = 1,      // never waits
  kSpin = 2,      // spins
  kAdaptive = 3,  // spins first, then sleeps
  kMutex = 4,     // sleeps for another thread: mutexes and rwlocks
  kBlocking = 5,  // waits for the world: a call, an answer
};

// What two locks of one class may do when one is taken under the other.
enum class Order : uint8_t {
  kNone,       // nothing: it is recursion and reported
  kByAddress,  // the lower address first
  kCompare,    // as `compare` says
};

// Whether `first` may be held when `second` is taken: negative means yes.  The addresses are those
// of the two Instances.  Called with no lock of the validator held; must take none itself.
using Compare = int (*)(const void* first, const void* second);

// Whether orders of the class are learnt and checked at all.
enum class Validation : uint8_t { kFull, kNone };

// Whether the class is known to be of one lock only, in any run: a static one.
enum class Locks : uint8_t { kMany, kOne };

class ClassKey {
 public:
  static constexpr unsigned kSubclasses = 8;

  struct Rules {
    Wait inner = Wait::kMutex;
    Wait outer = Wait::kUnchecked;  // kUnchecked: the same as `inner`
    Order order = Order::kNone;
    Compare compare = nullptr;  // for Order::kCompare
    Validation validation = Validation::kFull;
    // What names the class in other runs and processes (saved_graph.h), such as its place in the
    // program by build-id; null: its name; empty: nothing does.  As long-lived as the name.
    const char* identity = nullptr;
    Locks locks = Locks::kMany;
  };

  // `name`: "room.thing"; must outlive the key (the validator copies it at first use).
  explicit constexpr ClassKey(const char* name) : ClassKey(name, Rules()) {}
  constexpr ClassKey(const char* name, const Rules& rules) : name_(name), rules_(rules) {}
  ClassKey(const ClassKey&) = delete;
  ClassKey& operator=(const ClassKey&) = delete;

  [[nodiscard]] constexpr const char* name() const { return name_; }
  [[nodiscard]] constexpr const Rules& rules() const { return rules_; }

 private:
  friend class Validator;
  friend struct State;
  const char* name_;
  Rules rules_;
  // Class numbers by subclass, each with the epoch of the validator that gave it.  A cache only:
  // another epoch means "look it up".
  mutable std::atomic<uint64_t> cached_[kSubclasses] = {};
};

// Rules of a pseudo-lock: a wait for work, a thread, a fault; its wait type is not checked.
inline constexpr ClassKey::Rules kMapRules{.inner = Wait::kUnchecked};

}  // namespace netfs::lockdep
