#pragma once
// Witness: one time that a dependency happened: who, when, with which locks.  An edge keeps up to
// four, at least one of each strength that was seen.  Under the validator's lock.

#include <cstdint>

#include "lockdep/graph.h"

namespace netfs::lockdep {

// A lock that was held when another was taken.
struct Gate {
  uint64_t number;  // Instance's; never given twice
  uint64_t address;
  uintptr_t ip;
  uint32_t class_id;
  uint32_t owner;  // serial of the context that held it
  uint32_t stack;
  Mode mode;
  bool trylock;
};

// All that was held at one acquisition, outermost first; shared by its witnesses.
struct LockSet {
  uint32_t references;
  uint32_t count;
  uint64_t hash;
  Gate gates[];
};

struct WitnessEnd {
  uint64_t number;
  uint64_t address;
  uintptr_t ip;
  uint32_t stack;
  Mode mode;
  Attempt attempt;
  bool sync;
};

struct Witness {
  WitnessEnd from;
  WitnessEnd to;
  LockSet* held;     // null for a declared order
  uint32_t context;  // serial; 0 for a declared order
  uint32_t segment;
  const char* name;  // of the context
  uint64_t id;       // of the context, as it calls itself
  int64_t time_ns;   // CLOCK_REALTIME
  bool is_thread;
  bool alone;     // no other context lived
  bool twins;     // several contexts of the role lived at once
  uint32_t run;   // 0: this one; else in Learnt::runs, of a saved graph
  uint64_t role;  // of the context, the same in all runs

  [[nodiscard]] uint8_t kind() const { return edge_kind(from.mode, to.mode); }
};

// Keeps a copy of `witness` at the edge, unless it says nothing new; true if it was kept.
bool add_witness(Arena& arena, Edge& edge, const Witness& witness);
void remove_witnesses(Arena& arena, Edge& edge);
LockSet* make_lock_set(Arena& arena, uint32_t count);
void drop_lock_set(Arena& arena, LockSet* set);

}  // namespace netfs::lockdep
