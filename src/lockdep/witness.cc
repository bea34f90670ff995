#include "lockdep/witness.h"

#include <algorithm>

#include "lockdep/arena.h"

namespace netfs::lockdep {

namespace {

size_t bytes(uint32_t count) {
  return sizeof(LockSet) + count * sizeof(Gate);
}

bool says_the_same(const Witness& a, const Witness& b) {
  return a.context == b.context && a.segment == b.segment && a.kind() == b.kind() &&
         a.from.number == b.from.number && a.to.number == b.to.number &&
         a.to.attempt == b.to.attempt && (a.held == nullptr) == (b.held == nullptr) &&
         (a.held == nullptr || a.held->hash == b.held->hash);
}

void drop(Arena& arena, Witness* witness) {
  if (witness->held != nullptr) drop_lock_set(arena, witness->held);
  arena.release(witness, sizeof(Witness));
}

// Which to give up for `witness`: never the only one of its strength; one of the same context
// first, since circles need several contexts; else the oldest.
unsigned victim(const Edge& edge, const Witness& witness) {
  unsigned best = 0;
  int best_score = -1;
  for (unsigned i = 0; i < edge.witnesses; ++i) {
    const Witness& old = *edge.ring[i];
    const auto same = std::count_if(edge.ring, edge.ring + edge.witnesses,
                                    [&](const Witness* w) { return w->kind() == old.kind(); });
    if (same < 2 && old.kind() != witness.kind()) continue;
    const int score = old.context == witness.context ? 1 : 0;
    if (score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

}  // namespace

LockSet* make_lock_set(Arena& arena, uint32_t count) {
  auto* set = static_cast<LockSet*>(arena.allocate(bytes(count)));
  if (set != nullptr) *set = {.references = 1, .count = count, .hash = count};
  return set;
}

void drop_lock_set(Arena& arena, LockSet* set) {
  if (--set->references == 0) arena.release(set, bytes(set->count));
}

bool add_witness(Arena& arena, Edge& edge, const Witness& witness) {
  for (unsigned i = 0; i < edge.witnesses; ++i) {
    if (says_the_same(*edge.ring[i], witness)) return false;
  }
  auto* kept = static_cast<Witness*>(arena.allocate(sizeof(Witness)));
  if (kept == nullptr) return false;
  *kept = witness;
  if (kept->held != nullptr) ++kept->held->references;
  if (edge.witnesses == Edge::kRing) {
    const unsigned out = victim(edge, witness);
    drop(arena, edge.ring[out]);
    std::copy(edge.ring + out + 1, edge.ring + Edge::kRing, edge.ring + out);
    --edge.witnesses;
  }
  edge.ring[edge.witnesses++] = kept;
  return true;
}

void remove_witnesses(Arena& arena, Edge& edge) {
  for (unsigned i = 0; i < edge.witnesses; ++i) drop(arena, edge.ring[i]);
  edge.witnesses = 0;
}

}  // namespace netfs::lockdep
