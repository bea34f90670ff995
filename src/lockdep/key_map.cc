#include "lockdep/key_map.h"

#include <cstring>

#include "lockdep/arena.h"
#include "lockdep/hash.h"

namespace netfs::lockdep {

uint64_t KeyMap::home(uint64_t key) const {
  return mix(0, key) & (capacity_ - 1);
}

uint32_t KeyMap::find(uint64_t key) const {
  if (capacity_ == 0) return 0;
  for (uint64_t i = home(key);; i = (i + 1) & (capacity_ - 1)) {
    if (slots_[i].value == 0) return 0;
    if (slots_[i].key == key) return slots_[i].value;
  }
}

bool KeyMap::grow(Arena& arena) {
  const uint64_t old_capacity = capacity_;
  Slot* old = slots_;
  const uint64_t capacity = old_capacity == 0 ? 64 : old_capacity * 2;
  auto* slots = static_cast<Slot*>(arena.allocate(capacity * sizeof(Slot)));
  if (slots == nullptr) return false;
  slots_ = slots;
  capacity_ = capacity;
  for (uint64_t i = 0; i < old_capacity; ++i) {
    if (old[i].value == 0) continue;
    uint64_t at = home(old[i].key);
    while (slots_[at].value != 0) at = (at + 1) & (capacity_ - 1);
    slots_[at] = old[i];
  }
  arena.release(old, old_capacity * sizeof(Slot));
  return true;
}

bool KeyMap::set(Arena& arena, uint64_t key, uint32_t value) {
  if ((size_ + 1) * 2 > capacity_ && !grow(arena)) return false;
  uint64_t i = home(key);
  while (slots_[i].value != 0 && slots_[i].key != key) i = (i + 1) & (capacity_ - 1);
  if (slots_[i].value == 0) ++size_;
  slots_[i] = {.key = key, .value = value};
  return true;
}

void KeyMap::erase(uint64_t key) {
  if (capacity_ == 0) return;
  uint64_t hole = home(key);
  while (slots_[hole].key != key || slots_[hole].value == 0) {
    if (slots_[hole].value == 0) return;
    hole = (hole + 1) & (capacity_ - 1);
  }
  --size_;
  // What was pushed past the hole moves back, so that no search ends early.
  for (uint64_t i = (hole + 1) & (capacity_ - 1); slots_[i].value != 0;
       i = (i + 1) & (capacity_ - 1)) {
    const uint64_t wanted = home(slots_[i].key);
    if (((i - wanted) & (capacity_ - 1)) < ((i - hole) & (capacity_ - 1))) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole].value = 0;
}

void KeyMap::clear() {
  if (capacity_ != 0) std::memset(slots_, 0, capacity_ * sizeof(Slot));
  size_ = 0;
}

}  // namespace netfs::lockdep
