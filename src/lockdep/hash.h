#pragma once
// mix: folds `value` into a 64-bit hash; the order of folding matters, which is what chains need.

#include <cstdint>

namespace netfs::lockdep {

constexpr uint64_t kChainStart = 0x6a09e667f3bcc908;  // the key of a context that holds nothing

constexpr uint64_t mix(uint64_t hash, uint64_t value) {
  uint64_t x = ((hash << 23 | hash >> 41) ^ value) * 0x9e3779b97f4a7c15;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9;
  return x ^ x >> 32;
}

}  // namespace netfs::lockdep
