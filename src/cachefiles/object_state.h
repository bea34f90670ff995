#pragma once
// ObjectMachine: the life of an object, every way it may go.
//
//               store, commit           commit                verified, commit
//     Absent ------------------> Partial ----> Complete -----------------> Sealed
//                                   ^             |                          |  |
//                                   +-------------+   a page was damaged     |  | hand_out
//                                   +----------------------------------------+  v
//                                                                           HandedOut
//     any of them, disabled, discarded or culled -------> Dead
//
// Absent goes to Partial with the first block in memory; Complete means all blocks are there and
// durable; Sealed that they were read back and compared.  A handed-out object never goes back: the
// kernel reads its file, so damage makes it Dead.  Local, Uploading and Clean are reserved for
// files written here (their numbers stand in docs/cache-format.md).
//
// Thread-safety: state() from any thread at any time; the moves under the object's mutex.

#include <atomic>

#include "netfs/cache.h"

namespace netfs::cachefiles {

enum class ObjectEvent : uint8_t {
  kStored,     // a block became present in memory
  kCompleted,  // all blocks are durable
  kSealed,     // verified, and the index says so durably
  kDamaged,    // a block was dropped
  kHandedOut,  // the kernel gets a descriptor
  kKilled,     // disabled, discarded or culled
};

// Where `event` leads from `state`; `state` itself where it changes nothing.  False in `allowed`
// for what must never happen (a programmer's error).
struct ObjectMove {
  ObjectState to = ObjectState::kDead;
  bool allowed = false;
};
[[nodiscard]] ObjectMove object_move(ObjectState state, ObjectEvent event);

class ObjectMachine {
 public:
  explicit ObjectMachine(ObjectState loaded) : state_(loaded) {}

  [[nodiscard]] ObjectState state() const { return state_.load(std::memory_order_acquire); }
  // Asserts that the move is allowed.  Callers hold the object's mutex.
  void move(ObjectEvent event);

 private:
  std::atomic<ObjectState> state_;
};

[[nodiscard]] const char* object_state_name(ObjectState state);

}  // namespace netfs::cachefiles
