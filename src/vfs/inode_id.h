#pragma once
// How nodeids and handles are made up: (epoch, generation, index of the record) in 16, 22 and 26
// bits.  Of the inode table; pure.

#include <cstdint>

namespace netfs::vfs {

inline constexpr unsigned kIndexBits = 26;
inline constexpr unsigned kGenerationBits = 22;
inline constexpr uint32_t kGenerationMax = (1U << kGenerationBits) - 1;

inline uint64_t make_id(uint16_t epoch, uint32_t generation, uint32_t index) {
  return (uint64_t{epoch} << (kGenerationBits + kIndexBits)) |
         (uint64_t{generation} << kIndexBits) | index;
}

// Enough to name it among all that were ever there: a record's generations go on.
inline uint64_t without_epoch(uint64_t id) {
  return id & ((uint64_t{1} << (kGenerationBits + kIndexBits)) - 1);
}

inline uint32_t index_of(uint64_t id) {
  return static_cast<uint32_t>(id & ((1U << kIndexBits) - 1));
}

}  // namespace netfs::vfs
