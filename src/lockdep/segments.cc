#include "lockdep/segments.h"

namespace netfs::lockdep {

uint32_t Segments::add(Arena& arena, uint32_t before, uint32_t observed) {
  arena_ = &arena;
  const uint32_t id = nodes_.push(arena);
  if (id != 0) nodes_[id] = {.before = before, .observed = observed, .seen = 0};
  return id;
}

bool Segments::reaches(uint32_t late, uint32_t early) {
  if (early == 0) return false;
  if (late == early) return true;
  ++generation_;
  to_visit_.clear();
  uint32_t at = late;
  for (;;) {
    const Node& node = nodes_[at];
    for (const uint32_t next : {node.before, node.observed}) {
      if (next == early) return true;
      if (next < early || nodes_[next].seen == generation_) continue;
      nodes_[next].seen = generation_;
      const uint32_t slot = to_visit_.push(*arena_);
      if (slot == 0) return false;
      to_visit_[slot] = next;
    }
    if (to_visit_.count() == 0) return false;
    at = to_visit_[to_visit_.count()];
    to_visit_.pop();
  }
}

}  // namespace netfs::lockdep
