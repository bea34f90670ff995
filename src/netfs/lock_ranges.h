#pragma once
// What locks are made of, and LockRanges: who has locked what of one file.
//
// Spans are inclusive at both ends, from 0 to kLockEnd: "to the end of the file, however long".  An
// owner is in nobody's way but others': what he locks takes the place of what he had there.
//
// Not thread-safe: its user's lock guards it.
//
//   if (!ranges.in_the_way({owner, LockMode::kShared, span})) ranges.set({owner, ...});

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace netfs {

inline constexpr uint64_t kLockEnd = INT64_MAX;

// Two sorts that know nothing of each other: fcntl(2)'s, of a range, and flock(2)'s, of all of it.
enum class LockKind : uint8_t { kRange, kWhole };
enum class LockMode : uint8_t { kNone, kShared, kExclusive };

struct LockSpan {
  uint64_t first = 0;
  uint64_t last = kLockEnd;

  [[nodiscard]] bool overlaps(const LockSpan& other) const {
    return first <= other.last && other.first <= last;
  }
  friend bool operator==(const LockSpan&, const LockSpan&) = default;
};

struct LockedRange {
  uint64_t owner = 0;
  LockMode mode = LockMode::kNone;
  LockSpan span;
  uint32_t pid = 0;  // of whoever locked it; 0: not known

  friend bool operator==(const LockedRange&, const LockedRange&) = default;
};

class LockRanges {
 public:
  // Something that another owner has and that excludes this.
  [[nodiscard]] std::optional<LockedRange> in_the_way(const LockedRange& wanted) const;
  // Whoever has something of that; some of them perhaps more than once.
  [[nodiscard]] std::vector<uint64_t> owners_in_the_way(const LockedRange& wanted) const;
  // kNone gives the span back.
  void set(const LockedRange& range);
  // What comes of set() for each of these in turn, in less than a step for each two of them.
  static LockRanges made_of(const std::vector<LockedRange>& ranges);
  // As set() of each of one owner's, which do not overlap; at once where he had nothing.
  void add(const std::vector<LockedRange>& ranges);
  [[nodiscard]] bool has_any(uint64_t owner) const;
  [[nodiscard]] size_t count() const { return ranges_.size(); }
  [[nodiscard]] std::vector<LockedRange> of(uint64_t owner) const;

 private:
  // Those of one owner do not overlap, and two of one mode that touch are one.
  std::vector<LockedRange> ranges_;
};

}  // namespace netfs
