#pragma once
// Instance: one lock as the validator knows it, embedded in the lock.  16 bytes; lookup is O(1).
//
// Constant-initialised, trivially destroyed: who embeds it in something that is destroyed says so
// with Validator::destroy, so that a lock which is still held is reported.  Its address is the
// lock's identity while it lives; a new Instance at an old address is another lock.
//
// Map: an Instance with no lock behind it, for whatever is waited for as if for a lock: work in a
// queue, a thread to be joined, a completion, a fault that somebody waits for, a frozen disk.  Who
// does the work holds the map meanwhile; who waits for it calls Validator::sync.

#include <atomic>
#include <cstdint>

#include "lockdep/class_key.h"

namespace netfs::lockdep {

class Instance {
 public:
  explicit constexpr Instance(const ClassKey& key) : key_(&key) {}
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  [[nodiscard]] const ClassKey& key() const { return *key_.load(std::memory_order_relaxed); }

 private:
  friend class Validator;
  friend struct State;
  mutable std::atomic<const ClassKey*> key_;  // changed by Validator::reclassify only
  // Which of all locks that ever were; given when a new dependency first needs it, 0 before.
  mutable std::atomic<uint64_t> number_{0};
};

using Map = Instance;

}  // namespace netfs::lockdep
