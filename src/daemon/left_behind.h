#pragma once
// LeftBehind: what of all that was written on a mount is not at its origin when that has ended, and
// the line that says so.  Pure.
//
//   LeftBehind{.url = "file:///a", .mount_point = "/mnt", .lost_bytes = 4096}.line()
//   // "/mnt: not at file:///a, and lost since its worker started: 4.0 KiB of what was written; the
//   //  log says of which files"

#include <cstdint>
#include <string>
#include <vector>

namespace netfs::daemon {

struct LeftBehind {
  std::string url;
  std::string mount_point;
  // In the journal, and where that is; and why the oldest did not go, if anything was wrong.
  uint64_t changes = 0;
  uint64_t bytes = 0;
  std::string journal;
  std::string why;
  // Answered, and not taken by the origin; some of it may have been told by close or fsync.
  uint64_t lost_bytes = 0;
  // What went otherwise than it was made, a sentence each, and has not been told yet.
  std::vector<std::string> troubles;

  // Empty: nothing, all is there as it was written.
  [[nodiscard]] std::string line() const;
};

}  // namespace netfs::daemon
