#pragma once
// ChainSet: the 64-bit keys of behaviour that is known.  A look-up takes no lock and writes
// nothing.
//
// Open addressing in a mapped table that doubles at half load; tables that were grown out of stay
// mapped until `free`, for a reader may still be in one (their sum is less than the last).  A key
// that a reader misses only costs a second look under the validator's lock.
//
// Thread-safety: contains() by anybody; insert(), clear() and free() under the validator's lock,
// free() when no reader is left.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace netfs::lockdep {

class Arena;

class ChainSet {
 public:
  constexpr ChainSet() = default;
  ChainSet(const ChainSet&) = delete;
  ChainSet& operator=(const ChainSet&) = delete;

  [[nodiscard]] bool contains(uint64_t key) const {
    const Table* table = table_.load(std::memory_order_acquire);
    if (__builtin_expect(table == nullptr, 0)) return false;
    key = usable(key);
    for (uint64_t i = key & table->mask;; i = (i + 1) & table->mask) {
      const uint64_t found = table->slots()[i].load(std::memory_order_relaxed);
      if (found == key) return true;
      if (found == 0) return false;
    }
  }
  // False when the memory cap is reached.
  bool insert(Arena& arena, uint64_t key);
  // Forgets all keys, in place.
  void clear();
  void free(Arena& arena);
  [[nodiscard]] size_t size() const { return size_; }

 private:
  struct Table {
    uint64_t mask;
    Table* older;
    [[nodiscard]] std::atomic<uint64_t>* slots() const {
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): the slots follow the head.
      return reinterpret_cast<std::atomic<uint64_t>*>(const_cast<Table*>(this) + 1);
    }
  };
  static uint64_t usable(uint64_t key) { return key == 0 ? 1 : key; }
  static size_t bytes(uint64_t slots) { return sizeof(Table) + slots * sizeof(uint64_t); }
  static void put(Table& table, uint64_t key);
  bool grow(Arena& arena);

  std::atomic<Table*> table_{nullptr};
  size_t size_ = 0;
};

}  // namespace netfs::lockdep
