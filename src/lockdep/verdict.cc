#include "lockdep/verdict.h"

namespace netfs::lockdep {

namespace {

constexpr unsigned kStepsMax = 20000;

bool waits_for(const Witness& taker, const Witness& holder) {
  return taker.to.mode != Mode::kRecursiveRead || holder.from.mode == Mode::kWrite;
}

bool declared(const Witness& witness) {
  return witness.context == 0;
}

// A lock that both held, each as its own, and not both to read: they cannot meet.
const Gate* common_gate(const Witness& a, const Witness& b) {
  if (a.held == nullptr || b.held == nullptr) return nullptr;
  for (uint32_t i = 0; i < a.held->count; ++i) {
    const Gate& one = a.held->gates[i];
    for (uint32_t j = 0; j < b.held->count; ++j) {
      const Gate& other = b.held->gates[j];
      if (one.number == other.number && one.owner != other.owner &&
          (one.mode == Mode::kWrite || other.mode == Mode::kWrite)) {
        return &one;
      }
    }
  }
  return nullptr;
}

// The same for two runs, in which locks cannot be compared.
const Gate* common_gate_class(const Witness& a, const Witness& b) {
  if (a.held == nullptr || b.held == nullptr) return nullptr;
  for (uint32_t i = 0; i < a.held->count; ++i) {
    const Gate& one = a.held->gates[i];
    for (uint32_t j = 0; j < b.held->count; ++j) {
      const Gate& other = b.held->gates[j];
      if (one.class_id == other.class_id &&
          (one.mode == Mode::kWrite || other.mode == Mode::kWrite)) {
        return &one;
      }
    }
  }
  return nullptr;
}

const Gate* gate_between(const Witness& a, const Witness& b) {
  return a.run == b.run ? common_gate(a, b) : common_gate_class(a, b);
}

bool one_context(const Witness& a, const Witness& b) {
  if (a.run == b.run) return a.context == b.context;
  return a.role == b.role && !a.twins && !b.twins;
}

}  // namespace

const Witness& Judge::at(const uint32_t* edges, size_t part, unsigned choice) const {
  return *graph.edge(edges[part]).ring[choice];
}

bool Judge::pair_fits(const Witness& a, const Witness& b, unsigned conditions) const {
  if (declared(a) || declared(b)) return true;
  if (conditions > kDistinct && one_context(a, b)) return false;
  if (conditions > kConcurrent) {
    if (a.run != b.run ? a.alone || b.alone : segments.ordered(a.segment, b.segment)) return false;
  }
  return conditions <= kGates || gate_between(a, b) == nullptr;
}

// Whether the choice for `part` goes with those before it.
bool Judge::fits(const uint32_t* edges, size_t count, unsigned conditions, const uint8_t* chosen,
                 size_t part) const {
  const Witness& self = at(edges, part, chosen[part]);
  if (conditions > kUntimed && self.to.attempt == Attempt::kTimed) return false;
  const auto junction = [&](const Witness& taker, const Witness& holder, size_t where) {
    if (!waits_for(taker, holder)) return false;
    if (conditions <= kInstances || match == Validator::Match::kByClass || declared(taker) ||
        declared(holder)) {
      return true;
    }
    if (taker.run != holder.run) return one_lock(user, graph.edge(edges[where]).from);
    return taker.to.number == holder.from.number;
  };
  if (part > 0 && !junction(at(edges, part - 1, chosen[part - 1]), self, part)) return false;
  if (part + 1 == count && !junction(self, at(edges, 0, chosen[0]), 0)) return false;
  for (size_t other = 0; other < part; ++other) {
    if (!pair_fits(at(edges, other, chosen[other]), self, conditions)) return false;
  }
  return true;
}

// Meets the first `conditions` conditions, if that can be; the newest witnesses first.
bool Judge::choose(const uint32_t* edges, size_t count, unsigned conditions,
                   uint8_t* chosen) const {
  unsigned left[kPartsMax];  // how many of each ring are still to be tried
  size_t part = 0;
  left[0] = graph.edge(edges[0]).witnesses;
  for (unsigned steps = 0; steps < kStepsMax; ++steps) {
    if (left[part] == 0) {
      if (part == 0) return false;
      --part;
      continue;
    }
    chosen[part] = static_cast<uint8_t>(--left[part]);
    if (!fits(edges, count, conditions, chosen, part)) continue;
    if (part + 1 == count) return true;
    ++part;
    left[part] = graph.edge(edges[part]).witnesses;
  }
  return false;
}

void Judge::explain(const uint32_t* edges, size_t count, Condition failed, Judgement& out) const {
  const Witness* first = nullptr;
  const Witness* second = nullptr;
  for (size_t i = 0; i < count; ++i) {
    const Witness& a = at(edges, i, out.chosen[i]);
    for (size_t j = i + 1; j < count && first == nullptr; ++j) {
      const Witness& b = at(edges, j, out.chosen[j]);
      if (pair_fits(a, b, failed + 1)) continue;
      first = &a;
      second = &b;
    }
  }
  const bool of_two_runs = first != nullptr && first->run != second->run;
  out.unknown = of_two_runs && (failed == kDistinct || failed == kConcurrent);
  switch (failed) {
    case kUntimed:
      out.reason << "a wait in it is timed and ends by itself";
      return;
    case kDistinct:
      if (of_two_runs) {
        out.reason << "different runs did the parts, perhaps in one thread: `" << first->name
                   << "` and `" << second->name << "`";
        return;
      }
      out.reason << "one context, `" << (first != nullptr ? first->name : "?") << "`, did "
                 << (count == 2 ? "both parts" : "several parts");
      return;
    case kConcurrent:
      if (of_two_runs) {
        out.reason << "different runs did the parts, `" << (first->alone ? first : second)->name
                   << "` while no other thread lived";
        return;
      }
      out.reason << "never concurrent: thread creation or joining orders `"
                 << (first != nullptr ? first->name : "?") << "` and `"
                 << (second != nullptr ? second->name : "?") << "`";
      return;
    case kGates: {
      const Gate* gate = first != nullptr ? gate_between(*first, *second) : nullptr;
      out.reason << "gate `" << (gate != nullptr ? name_of(user, gate->class_id) : "?")
                 << "` held on both sides";
      return;
    }
    case kInstances:
      for (size_t i = 0; i < count; ++i) {
        out.unknown |= at(edges, i, out.chosen[i]).run !=
                       at(edges, (i + 1) % count, out.chosen[(i + 1) % count]).run;
      }
      if (out.unknown) {
        out.reason << "different runs did the parts, perhaps with different locks";
        return;
      }
      out.reason << "the locks of the parts were never the same ones";
      return;
    case kWaits:
    case kAll:
      out.reason << "no parts that would wait for each other were kept";
      return;
  }
}

void Judge::judge(const uint32_t* edges, size_t count, Judgement& out) const {
  out.verdict = Verdict::kOrderOnly;
  out.reason.clear();
  out.unknown = false;
  if (count > kPartsMax) {
    out.reason << "needs " << uint64_t{count} << " contexts at once";
    return;
  }
  if (choose(edges, count, kAll, out.chosen)) {
    out.verdict = Verdict::kLikely;
    bool joined = false;
    for (size_t i = 1; i < count; ++i) {
      joined |= at(edges, i, out.chosen[i]).run != at(edges, 0, out.chosen[0]).run;
    }
    out.reason << (joined
                       ? "different threads of different runs did the parts, with no common gate"
                       : "contexts that run at the same time did the parts, with no common gate");
    return;
  }
  for (unsigned met = kUntimed; met <= kAll; ++met) {
    uint8_t chosen[kPartsMax];
    if (!choose(edges, count, met, chosen)) {
      explain(edges, count, static_cast<Condition>(met - 1), out);
      return;
    }
    for (size_t i = 0; i < count; ++i) out.chosen[i] = chosen[i];
  }
}

}  // namespace netfs::lockdep
