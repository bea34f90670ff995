#include "cachefiles/object_state.h"

#include "base/assert.h"

namespace netfs::cachefiles {

namespace {

using State = ObjectState;

ObjectMove stored(State state) {
  switch (state) {
    case State::kAbsent:
    case State::kPartial:
      return {State::kPartial, true};
    case State::kDead:
      return {State::kDead, true};  // the store ends after the object did
    default:
      return {};  // all blocks are there: nothing is left to store
  }
}

ObjectMove completed(State state) {
  switch (state) {
    case State::kAbsent:  // an empty file has no block to store
    case State::kPartial:
    case State::kComplete:
      return {State::kComplete, true};
    case State::kDead:
      return {State::kDead, true};
    default:
      return {};
  }
}

ObjectMove sealed(State state) {
  switch (state) {
    case State::kComplete:
      return {State::kSealed, true};
    case State::kDead:
      return {State::kDead, true};
    default:
      return {};
  }
}

ObjectMove damaged(State state) {
  switch (state) {
    case State::kPartial:
    case State::kComplete:
    case State::kSealed:
      return {State::kPartial, true};
    case State::kHandedOut:  // its file may be mapped: never written again
    case State::kDead:
      return {State::kDead, true};
    default:
      return {};
  }
}

ObjectMove handed_out(State state) {
  switch (state) {
    case State::kSealed:
    case State::kHandedOut:
      return {State::kHandedOut, true};
    default:
      return {};
  }
}

}  // namespace

ObjectMove object_move(ObjectState state, ObjectEvent event) {
  switch (event) {
    case ObjectEvent::kStored:
      return stored(state);
    case ObjectEvent::kCompleted:
      return completed(state);
    case ObjectEvent::kSealed:
      return sealed(state);
    case ObjectEvent::kDamaged:
      return damaged(state);
    case ObjectEvent::kHandedOut:
      return handed_out(state);
    case ObjectEvent::kKilled:
      return {State::kDead, true};
  }
  return {};
}

void ObjectMachine::move(ObjectEvent event) {
  const ObjectMove move = object_move(state(), event);
  NETFS_ASSERT(move.allowed);
  state_.store(move.to, std::memory_order_release);
}

const char* object_state_name(ObjectState state) {
  switch (state) {
    case State::kAbsent:
      return "absent";
    case State::kPartial:
      return "partial";
    case State::kComplete:
      return "complete";
    case State::kSealed:
      return "sealed";
    case State::kHandedOut:
      return "handed-out";
    case State::kDead:
      return "dead";
  }
  return "?";
}

}  // namespace netfs::cachefiles
