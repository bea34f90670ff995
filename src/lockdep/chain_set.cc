#include "lockdep/chain_set.h"

#include <new>

#include "lockdep/arena.h"

namespace netfs::lockdep {

void ChainSet::put(Table& table, uint64_t key) {
  std::atomic<uint64_t>* slots = table.slots();
  uint64_t i = key & table.mask;
  while (slots[i].load(std::memory_order_relaxed) != 0) i = (i + 1) & table.mask;
  slots[i].store(key, std::memory_order_relaxed);
}

bool ChainSet::grow(Arena& arena) {
  Table* old = table_.load(std::memory_order_relaxed);
  const uint64_t slots = old == nullptr ? 1024 : (old->mask + 1) * 2;
  void* memory = arena.allocate(bytes(slots));  // zeroed: empty slots
  if (memory == nullptr) return false;
  auto* table = new (memory) Table{.mask = slots - 1, .older = old};
  if (old != nullptr) {
    for (uint64_t i = 0; i <= old->mask; ++i) {
      const uint64_t key = old->slots()[i].load(std::memory_order_relaxed);
      if (key != 0) put(*table, key);
    }
  }
  table_.store(table, std::memory_order_release);
  return true;
}

bool ChainSet::insert(Arena& arena, uint64_t key) {
  if (contains(key)) return true;
  const Table* table = table_.load(std::memory_order_relaxed);
  if ((table == nullptr || (size_ + 1) * 2 > table->mask) && !grow(arena)) return false;
  put(*table_.load(std::memory_order_relaxed), usable(key));
  ++size_;
  return true;
}

void ChainSet::clear() {
  for (Table* table = table_.load(std::memory_order_relaxed); table != nullptr;
       table = table->older) {
    for (uint64_t i = 0; i <= table->mask; ++i) {
      table->slots()[i].store(0, std::memory_order_relaxed);
    }
  }
  size_ = 0;
}

void ChainSet::free(Arena& arena) {
  Table* table = table_.exchange(nullptr, std::memory_order_relaxed);
  while (table != nullptr) {
    Table* older = table->older;
    arena.release(table, bytes(table->mask + 1));
    table = older;
  }
  size_ = 0;
}

}  // namespace netfs::lockdep
