#include "netfs/lock_ranges.h"

#include <algorithm>
#include <numeric>

#include "base/assert.h"

namespace netfs {

namespace {

// Whether the one begins where the other ends.
bool touch(const LockSpan& a, const LockSpan& b) {
  return (a.last < kLockEnd && a.last + 1 == b.first) ||
         (b.last < kLockEnd && b.last + 1 == a.first);
}

bool excludes(const LockedRange& held, const LockedRange& wanted) {
  if (wanted.mode == LockMode::kNone || held.owner == wanted.owner) return false;
  if (!held.span.overlaps(wanted.span)) return false;
  return held.mode == LockMode::kExclusive || wanted.mode == LockMode::kExclusive;
}

}  // namespace

std::optional<LockedRange> LockRanges::in_the_way(const LockedRange& wanted) const {
  for (const LockedRange& held : ranges_) {
    if (excludes(held, wanted)) return held;
  }
  return {};
}

std::vector<uint64_t> LockRanges::owners_in_the_way(const LockedRange& wanted) const {
  std::vector<uint64_t> owners;
  for (const LockedRange& held : ranges_) {
    if (excludes(held, wanted)) owners.push_back(held.owner);
  }
  return owners;
}

void LockRanges::set(const LockedRange& range) {
  NETFS_ASSERT(range.span.first <= range.span.last && range.span.last <= kLockEnd);
  LockedRange made = range;
  std::vector<LockedRange> left;
  left.reserve(ranges_.size() + 2);
  for (const LockedRange& held : ranges_) {
    const bool same_mode = held.mode == made.mode;
    const bool joins = held.span.overlaps(made.span) || (same_mode && touch(held.span, made.span));
    if (held.owner != made.owner || !joins) {
      left.push_back(held);
      continue;
    }
    if (same_mode) {
      made.span.first = std::min(made.span.first, held.span.first);
      made.span.last = std::max(made.span.last, held.span.last);
      continue;
    }
    if (held.span.first < made.span.first) {
      left.push_back(held);
      left.back().span.last = made.span.first - 1;
    }
    if (held.span.last > made.span.last) {
      left.push_back(held);
      left.back().span.first = made.span.last + 1;
    }
  }
  if (made.mode != LockMode::kNone) left.push_back(made);
  ranges_ = std::move(left);
}

// Those that meet no other are the same in whichever turn.
LockRanges LockRanges::made_of(const std::vector<LockedRange>& ranges) {
  std::vector<size_t> by_place(ranges.size());
  std::iota(by_place.begin(), by_place.end(), size_t{0});
  std::sort(by_place.begin(), by_place.end(),
            [&](size_t a, size_t b) { return ranges[a].span.first < ranges[b].span.first; });
  std::vector<bool> meets(ranges.size());
  size_t furthest = by_place.empty() ? 0 : by_place.front();
  for (size_t i = 1; i < by_place.size(); ++i) {
    const LockSpan& before = ranges[furthest].span;
    const LockSpan& span = ranges[by_place[i]].span;
    if (before.overlaps(span) || touch(before, span)) {
      meets[furthest] = true;
      meets[by_place[i]] = true;
    }
    if (span.last >= before.last) furthest = by_place[i];
  }
  LockRanges made;
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (!meets[i] && ranges[i].mode != LockMode::kNone) made.ranges_.push_back(ranges[i]);
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (meets[i]) made.set(ranges[i]);
  }
  return made;
}

void LockRanges::add(const std::vector<LockedRange>& ranges) {
  if (ranges.empty()) return;
  if (!has_any(ranges.front().owner)) {
    ranges_.insert(ranges_.end(), ranges.begin(), ranges.end());
    return;
  }
  for (const LockedRange& range : ranges) set(range);
}

bool LockRanges::has_any(uint64_t owner) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [owner](const LockedRange& held) { return held.owner == owner; });
}

std::vector<LockedRange> LockRanges::of(uint64_t owner) const {
  std::vector<LockedRange> all;
  for (const LockedRange& held : ranges_) {
    if (held.owner == owner) all.push_back(held);
  }
  return all;
}

}  // namespace netfs
