#pragma once
// What a subrequest's outcome means: the rule of short reads.  Pure.
//
//   1. more than asked                          over-read: EIO, never retried
//   2. all that was asked                       complete
//   3. fewer, and the range ends past the file  the tail is zeroes: complete
//   4. fewer, and some                          progress: the rest is asked again
//   5. none, within the file                    asked again once; twice running is an error
//
// An origin that says that the file ends within the size we know (hit_end_of_file) contradicts the
// version that is being read: the validator decides.  If it still is that version, the answer is
// worth as much as a short one (4 or 5); nothing is zero-filled where the file should have bytes.

#include <cstdint>

namespace netfs {

struct ReadFacts {
  uint64_t asked_bytes = 0;
  uint64_t transferred_bytes = 0;
  uint64_t within_file_bytes = 0;  // how much of what was asked lies within the file
  bool no_progress_before = false;
};

enum class ReadVerdict : uint8_t {
  kOverRead,
  kComplete,
  kZeroTail,      // complete once the rest is zeroed
  kRetryRest,     // at once
  kRetryNothing,  // nothing came for the first time
  kNoData,        // nothing came again: EIO
};

constexpr ReadVerdict judge_read(const ReadFacts& facts) {
  if (facts.transferred_bytes > facts.asked_bytes) return ReadVerdict::kOverRead;
  if (facts.transferred_bytes == facts.asked_bytes) return ReadVerdict::kComplete;
  if (facts.transferred_bytes >= facts.within_file_bytes) return ReadVerdict::kZeroTail;
  if (facts.transferred_bytes > 0) return ReadVerdict::kRetryRest;
  return facts.no_progress_before ? ReadVerdict::kNoData : ReadVerdict::kRetryNothing;
}

}  // namespace netfs
