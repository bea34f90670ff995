#pragma once
// The ways in which a program locks a file, and one call for all of them.

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>

namespace netfs::test {

enum class LockWay { kFlock, kDescription, kProcess };
inline constexpr std::array kLockWays = {LockWay::kFlock, LockWay::kDescription, LockWay::kProcess};

// `mode`: LOCK_SH, LOCK_EX or LOCK_UN.  An errno; EAGAIN: somebody else has it.
inline int set_lock(int fd, LockWay way, bool waits, int mode) {
  if (way == LockWay::kFlock) {
    return ::flock(fd, mode | (waits ? 0 : LOCK_NB)) == 0 ? 0 : errno;
  }
  struct flock range {};
  range.l_type = F_UNLCK;
  if (mode == LOCK_SH) range.l_type = F_RDLCK;
  if (mode == LOCK_EX) range.l_type = F_WRLCK;
  range.l_len = 8;
  const bool description = way == LockWay::kDescription;
  const int command =
      waits ? (description ? F_OFD_SETLKW : F_SETLKW) : (description ? F_OFD_SETLK : F_SETLK);
  return ::fcntl(fd, command, &range) == 0 ? 0 : errno;
}

}  // namespace netfs::test
