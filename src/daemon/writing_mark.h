#pragma once
// WritingMark: says on disk that a volume is being written to through a mount of ours.
//
// Where a path can come to name another file with the validator of the one before, each change
// makes the cache forget what it has of that path: after the change, so that no write waits for the
// cache's disk.  A process that dies in between leaves the old bytes stored.  The mark is set
// before the first mount of a volume is written to and cleared when all is forgotten; one that is
// found set is of a process that died, and nothing that is stored of the volume can be trusted.
//
// For the threads that mount and unmount; several mounts of one volume share a mark.  set() waits
// for the cache's disk, and for another mount of the volume that is at it; clear() for nothing.
//
//   const WritingMark::Found found = TRY(mark.set());
//   if (found == WritingMark::Found::kLeftOver) {
//     TRY(drop what is stored of the volume);
//     mark.trusted();
//   }
//   ...
//   mark.clear(offload);

#include <string>

#include "base/result.h"
#include "netfs/offload.h"

namespace netfs::daemon {

class WritingMark {
 public:
  enum class Found : uint8_t { kNothing, kLeftOver };

  WritingMark(std::string cache_dir, const std::string& volume_key);
  ~WritingMark();
  WritingMark(const WritingMark&) = delete;
  WritingMark& operator=(const WritingMark&) = delete;

  // Whether a process before this one has left it: also a mount that is only read must know.
  static bool is_left(const std::string& cache_dir, const std::string& volume_key);
  // Durable when it returns.  After kLeftOver other mounts of the volume wait until trusted(), or
  // until this is destroyed, and are told the same then.
  Result<Found> set();
  void trusted();
  // When all that was queued to be forgotten before is: goes, unless other mounts hold it.  Without
  // this it stays for the next process to find.
  void clear(Offload& offload);

 private:
  enum class State : uint8_t { kNone, kChecking, kHeld };

  const std::string path_;
  State state_ = State::kNone;
};

}  // namespace netfs::daemon
