#pragma once
// Desk: a place that is written to, mounted anew on an empty tree for each run; a side of a row.
//
// By close the clock stops when the server has every byte, which is looked at there: netfs and
// sshfs have handed it over when close returns, rclone only begins then.  By back it stops when the
// program is done; what waits is uploaded behind it, untimed, or dropped with the cache it is in.

#include <functional>
#include <string>

#include "base/result.h"
#include "harness/lab.h"
#include "harness/patterns.h"

namespace netfs::bench {

using Writing = std::function<Result<Work>(const std::string& root, const Ending& ending)>;

struct Desk {
  std::string name;  // of the row, for its folders
  SftpAccess access;
  Peer peer = Peer::kNetfs;
  Use use = Use::kWriting;
  uint64_t bytes = 0;    // kWriting: of all files together
  bool dropped = false;  // kBack
  std::string called{};  // empty: the client's own name
};

Result<Side> desk_side(Lab& lab, const Desk& desk, const Writing& writing);
// netfs by close, sshfs and rclone, as far as they are wanted.
Result<std::vector<Side>> desk_sides(Lab& lab, const Desk& desk, const Writing& writing);
// The same in a directory of the disk that has the caches.
Result<Side> native_side(Lab& lab, const std::string& name, const Writing& writing);

}  // namespace netfs::bench
