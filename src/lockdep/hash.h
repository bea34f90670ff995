#pragma once
// mix: folds `value` into a 64-bit hash; the order of folding matters, which is what chains need.

#include <cstdint>

namespace netfs::lockdep {

// Where hashes begin.  Each kind has a start of its own: what is combined by exclusive or must not
// meet its like (class 3 in context 5 is not class 5 in context 3).
constexpr uint64_t kChainStart = 0x6a09e667f3bcc908;  // the key of a context that holds nothing
constexpr uint64_t kContextStart = 0xbb67ae8584caa73b;
constexpr uint64_t kSignalStart = 0x3c6ef372fe94f82b;
constexpr uint64_t kAdoptedStart = 0xa54ff53a5f1d36f1;
constexpr uint64_t kLocksStart = 0x510e527fade682d1;

constexpr uint64_t mix(uint64_t hash, uint64_t value) {
  uint64_t x = ((hash << 23 | hash >> 41) ^ value) * 0x9e3779b97f4a7c15;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9;
  return x ^ x >> 32;
}

}  // namespace netfs::lockdep
