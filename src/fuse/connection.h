#pragma once
// connection: a connection to the kernel by its number, and its end by force.
//
// A connection ends when it is unmounted, or when nobody has a descriptor of it any more.  Where
// somebody has one who reads no more from it, and cannot be made to close it, its users would wait
// for ever: abort_connection() ends it all the same.  Neither call asks a file system anything.

#include <optional>
#include <string>

#include "base/result.h"

namespace netfs::fuse {

// Of what lies on top at `mount_point`; nullopt where that is not a FUSE mount of `source`.
std::optional<unsigned> connection_number(const std::string& mount_point,
                                          const std::string& source);

// Whoever waits in it, or comes to it, gets an error from now on; the mount stays until it is
// unmounted.  `fd` is a descriptor of that connection: numbers are used again, and what has ended
// already is left alone.  `number` counts where the kernel does not say it of `fd` (before 6.16);
// 0: not known.  Errors: ENOENT: no number; EPERM: this process may not do without the file system
// fusectl, and that is not mounted at /sys/fs/fuse/connections; EACCES: it is another user's.
Result<void> abort_connection(int fd, unsigned number);

}  // namespace netfs::fuse
