#pragma once
// WritingMark: says on disk that a volume is being written to through a mount of ours.
//
// Where a path can come to name another file with the validator of the one before, each change
// makes the cache forget what it has of that path: after the change, so that no write waits for the
// cache's disk.  A process that dies in between leaves the old bytes stored.  The mark is set
// before the first mount of a volume is written to and cleared when all is forgotten; one that is
// found set is of a process that died, and nothing that is stored of the volume can be trusted.
//
// For the threads that mount and unmount; several mounts of one volume share a mark.
//
//   TRY(mark.set(directory, volume_key)) -> whether a process before us died with it
//   ...
//   mark.clear();

#include <string>

#include "base/result.h"

namespace netfs::daemon {

class WritingMark {
 public:
  enum class Found : uint8_t { kNothing, kLeftOver };

  WritingMark(std::string cache_dir, const std::string& volume_key);
  ~WritingMark();
  WritingMark(const WritingMark&) = delete;
  WritingMark& operator=(const WritingMark&) = delete;

  // Durable when it returns.
  Result<Found> set();
  // All that had to be forgotten is.  Without this the mark stays for the next process to find.
  void clear();

 private:
  const std::string path_;
  bool held_ = false;
};

}  // namespace netfs::daemon
