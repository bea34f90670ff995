#pragma once
// Verdict: whether the parts of a circle can be done by contexts that meet.
//
// A circle of classes is LIKELY if one witness of each of its edges can be chosen such that
//   1. each taker would wait for the next holder (no recursive reader for a reader),
//   2. no wait of them ends by itself (timed),
//   3. the contexts are all different,
//   4. none of them ended before another began (create and join),
//   5. no lock, held at two of them by different owners, keeps them apart (a gate),
//   6. with Match::kExact: each takes the very lock that the next holds.
// Of two witnesses of different runs less is known: 3 wants contexts of different roles, or a role
// of which several lived at once; 4 that neither was the only context of its run; 5 is asked of
// classes, not of locks; 6 wants a class of one lock. Else it is ORDER-ONLY, and the first
// condition that cannot be met is the reason.  An order that was declared is everybody's: it meets
// 2 to 6.
//
// The choice is searched with a bound on the steps; where it is reached, the circle counts as not
// LIKELY yet.  A circle of more than kPartsMax edges needs as many contexts at once: ORDER-ONLY.

#include <cstddef>
#include <cstdint>

#include "lockdep/segments.h"
#include "lockdep/text.h"
#include "lockdep/witness.h"

namespace netfs::lockdep {

constexpr size_t kPartsMax = 64;

struct Judgement {
  Verdict verdict = Verdict::kOrderOnly;
  Reason reason;
  uint8_t chosen[kPartsMax] = {};  // the witness of each edge, index in its ring
  // ORDER-ONLY only because of two witnesses of different runs of which too little is known.
  bool unknown = false;
};

// `name_of(class id)` gives a class its name for the reason.
struct Judge {
  const Graph& graph;
  Segments& segments;
  Validator::Match match;
  const char* (*name_of)(const void* user, uint32_t class_id);
  bool (*one_lock)(const void* user, uint32_t class_id);
  const void* user;

  // `edges`: each leads to where the next begins, the last to the first.
  void judge(const uint32_t* edges, size_t count, Judgement& out) const;

 private:
  enum Condition : unsigned { kWaits, kUntimed, kDistinct, kConcurrent, kGates, kInstances, kAll };
  struct Choice;
  [[nodiscard]] const Witness& at(const uint32_t* edges, size_t part, unsigned choice) const;
  [[nodiscard]] bool choose(const uint32_t* edges, size_t count, unsigned conditions,
                            uint8_t* chosen) const;
  [[nodiscard]] bool fits(const uint32_t* edges, size_t count, unsigned conditions,
                          const uint8_t* chosen, size_t part) const;
  [[nodiscard]] bool pair_fits(const Witness& a, const Witness& b, unsigned conditions) const;
  void explain(const uint32_t* edges, size_t count, Condition failed, Judgement& out) const;
};

}  // namespace netfs::lockdep
