#pragma once
// The state word of a HeldLock: what the chain key is made of.  Two acquisitions with the same word
// are the same behaviour; locks differ by their Instance only.

#include <cstdint>

#include "lockdep/validator.h"

namespace netfs::lockdep::held {

constexpr uint64_t kClassMask = 0x0fffffff;  // 0: a lock whose class is not validated
constexpr unsigned kModeShift = 32;
constexpr unsigned kAttemptShift = 34;
constexpr uint64_t kSync = uint64_t{1} << 36;     // a wait that holds nothing
constexpr uint64_t kNested = uint64_t{1} << 37;   // under its nest lock
constexpr uint64_t kHandler = uint64_t{1} << 38;  // no lock: a signal handler begins here

constexpr uint64_t pack(uint32_t class_id, Mode mode, Attempt attempt) {
  return class_id | static_cast<uint64_t>(mode) << kModeShift |
         static_cast<uint64_t>(attempt) << kAttemptShift;
}
constexpr uint32_t class_id(uint64_t state) {
  return static_cast<uint32_t>(state & kClassMask);
}
constexpr Mode mode(uint64_t state) {
  return static_cast<Mode>(state >> kModeShift & 3);
}
constexpr Attempt attempt(uint64_t state) {
  return static_cast<Attempt>(state >> kAttemptShift & 3);
}
constexpr uint64_t mask_bit(uint64_t state) {
  return uint64_t{1} << (state & 63);
}

// The word that a ClassKey caches: epoch, flags and class.
constexpr uint64_t kWatched = uint64_t{1} << 31;      // see watch.cc
constexpr uint64_t kUnvalidated = uint64_t{1} << 30;  // its class is 0
constexpr uint64_t kSpecial = kWatched | kUnvalidated;

}  // namespace netfs::lockdep::held

namespace netfs::lockdep {

// Where the bits say nothing (a class that is not known yet or not validated, a handler whose bits
// begin anew): true.
inline bool Validator::may_hold(const Context& context, const ClassKey& key) const {
  const uint64_t word = key.cached_[0].load(std::memory_order_relaxed);
  return word >> 32 != epoch_.load(std::memory_order_relaxed) || (word & held::kUnvalidated) != 0 ||
         context.handlers_ != 0 || (context.mask_ & held::mask_bit(word)) != 0;
}

}  // namespace netfs::lockdep
