#pragma once
// The kinds of what lies in a mount's arena memory: a number each, whose meaning is part of
// InodeTable::kLayout.  All of them, so that no two users have the same.

#include <cstdint>
#include <initializer_list>

#include "vfs/bytes_arena.h"

namespace netfs::vfs::arena_kind {

inline constexpr uint8_t kNodes = 1;
inline constexpr uint8_t kHandles = 2;
inline constexpr uint8_t kSavedBytes = 3;  // a BytesArena: as many kinds as it has sizes
inline constexpr uint8_t kBacking = 15;
inline constexpr uint8_t kWrites = 16;
inline constexpr uint8_t kSmallPieces = 17;
inline constexpr uint8_t kLargePieces = 18;
inline constexpr uint8_t kPieceIndices = 19;  // a BytesArena
inline constexpr uint8_t kIntents = 32;
inline constexpr uint8_t kIntentBytes = 33;  // a BytesArena
inline constexpr uint8_t kLocks = 48;

struct Kinds {
  unsigned first;
  unsigned count = 1;
};
constexpr bool are_apart(std::initializer_list<Kinds> all) {
  unsigned next = 1;
  for (const Kinds& one : all) {
    if (one.first < next) return false;
    next = one.first + one.count;
  }
  return next <= UINT8_MAX;
}
static_assert(are_apart({{kNodes},
                         {kHandles},
                         {kSavedBytes, BytesArena::kSizes.size()},
                         {kBacking},
                         {kWrites},
                         {kSmallPieces},
                         {kLargePieces},
                         {kPieceIndices, BytesArena::kSizes.size()},
                         {kIntents},
                         {kIntentBytes, BytesArena::kSizes.size()},
                         {kLocks}}));

}  // namespace netfs::vfs::arena_kind
