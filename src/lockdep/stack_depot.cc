#include "lockdep/stack_depot.h"

#include <algorithm>

#include "lockdep/arena.h"
#include "lockdep/hash.h"

namespace netfs::lockdep {

uint32_t StackDepot::intern(Arena& arena, const uintptr_t* frames, size_t count) {
  uint64_t hash = count;
  for (size_t i = 0; i < count; ++i) hash = mix(hash, frames[i]);
  for (;; ++hash) {  // the next key where two stacks have one hash
    const uint32_t known = by_hash_.find(hash);
    if (known == 0) break;
    const KeptStack& stack = *stacks_[known];
    if (stack.count == count && std::equal(frames, frames + count, stack.frames)) return known;
  }
  auto* stack =
      static_cast<KeptStack*>(arena.allocate(sizeof(KeptStack) + count * sizeof(uintptr_t)));
  if (stack == nullptr) return 0;
  stack->count = static_cast<uint32_t>(count);
  std::copy(frames, frames + count, stack->frames);
  const uint32_t id = stacks_.push(arena);
  if (id == 0 || !by_hash_.set(arena, hash, id)) return 0;
  stacks_[id] = stack;
  return id;
}

}  // namespace netfs::lockdep
