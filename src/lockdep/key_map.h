#pragma once
// KeyMap: from 64-bit keys (addresses, hashes) to 32-bit values, in an Arena.  Not thread-safe.
//
// Open addressing, doubled at half load.  A value of 0 means "absent", so it is never stored.

#include <cstddef>
#include <cstdint>

namespace netfs::lockdep {

class Arena;

class KeyMap {
 public:
  [[nodiscard]] uint32_t find(uint64_t key) const;
  // Sets or replaces; false when there is no memory.
  bool set(Arena& arena, uint64_t key, uint32_t value);
  void erase(uint64_t key);
  // Keeps the memory.
  void clear();
  [[nodiscard]] size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t key;
    uint32_t value;
  };
  [[nodiscard]] uint64_t home(uint64_t key) const;
  bool grow(Arena& arena);

  Slot* slots_ = nullptr;
  uint64_t capacity_ = 0;
  size_t size_ = 0;
};

}  // namespace netfs::lockdep
