// Every edge of an object's life, allowed and forbidden.

#include "cachefiles/object_state.h"

#include <gtest/gtest.h>
#include <map>
#include <utility>

namespace netfs::cachefiles {
namespace {

using State = ObjectState;
using Event = ObjectEvent;

constexpr State kStates[] = {State::kAbsent, State::kPartial,   State::kComplete,
                             State::kSealed, State::kHandedOut, State::kDead};
constexpr Event kEvents[] = {Event::kStored,  Event::kCompleted, Event::kSealed,
                             Event::kDamaged, Event::kHandedOut, Event::kKilled};

TEST(ObjectState, EveryEdgeIsAsThePictureShows) {
  const std::map<std::pair<State, Event>, State> edges = {
      {{State::kAbsent, Event::kStored}, State::kPartial},
      {{State::kAbsent, Event::kCompleted}, State::kComplete},
      {{State::kAbsent, Event::kKilled}, State::kDead},
      {{State::kPartial, Event::kStored}, State::kPartial},
      {{State::kPartial, Event::kCompleted}, State::kComplete},
      {{State::kPartial, Event::kDamaged}, State::kPartial},
      {{State::kPartial, Event::kKilled}, State::kDead},
      {{State::kComplete, Event::kCompleted}, State::kComplete},
      {{State::kComplete, Event::kSealed}, State::kSealed},
      {{State::kComplete, Event::kDamaged}, State::kPartial},
      {{State::kComplete, Event::kKilled}, State::kDead},
      {{State::kSealed, Event::kDamaged}, State::kPartial},
      {{State::kSealed, Event::kHandedOut}, State::kHandedOut},
      {{State::kSealed, Event::kKilled}, State::kDead},
      {{State::kHandedOut, Event::kHandedOut}, State::kHandedOut},
      {{State::kHandedOut, Event::kDamaged}, State::kDead},
      {{State::kHandedOut, Event::kKilled}, State::kDead},
      {{State::kDead, Event::kStored}, State::kDead},
      {{State::kDead, Event::kCompleted}, State::kDead},
      {{State::kDead, Event::kSealed}, State::kDead},
      {{State::kDead, Event::kDamaged}, State::kDead},
      {{State::kDead, Event::kKilled}, State::kDead},
  };
  for (const State state : kStates) {
    for (const Event event : kEvents) {
      const auto edge = edges.find({state, event});
      const ObjectMove move = object_move(state, event);
      EXPECT_EQ(move.allowed, edge != edges.end())
          << object_state_name(state) << " event " << static_cast<int>(event);
      if (edge == edges.end()) continue;
      EXPECT_EQ(move.to, edge->second) << object_state_name(state);
    }
  }
}

TEST(ObjectState, NothingLeadsBackFromDeadOrHandedOut) {
  for (const Event event : kEvents) {
    const ObjectMove from_dead = object_move(State::kDead, event);
    if (from_dead.allowed) {
      EXPECT_EQ(from_dead.to, State::kDead);
    }
    const ObjectMove from_handed_out = object_move(State::kHandedOut, event);
    if (from_handed_out.allowed) {
      EXPECT_GE(from_handed_out.to, State::kHandedOut);
    }
  }
}

TEST(ObjectStateDeathTest, ForbiddenMoveStopsTheProcess) {
  ObjectMachine machine(State::kAbsent);
  EXPECT_DEATH(machine.move(Event::kHandedOut), "move.allowed");
}

}  // namespace
}  // namespace netfs::cachefiles
