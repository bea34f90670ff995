#include "netfs/lock_descriptor.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>

namespace netfs {

namespace {

int flock_operation(LockMode mode) {
  switch (mode) {
    case LockMode::kNone:
      return LOCK_UN;
    case LockMode::kShared:
      return LOCK_SH | LOCK_NB;
    case LockMode::kExclusive:
      return LOCK_EX | LOCK_NB;
  }
  return LOCK_UN;
}

struct flock range_of(LockMode mode, const LockSpan& span) {
  struct flock range {};
  range.l_type = F_UNLCK;
  if (mode == LockMode::kShared) range.l_type = F_RDLCK;
  if (mode == LockMode::kExclusive) range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(span.first);
  range.l_len = span.last >= kLockEnd ? 0 : static_cast<off_t>(span.last - span.first + 1);
  return range;
}

int set_lock(int fd, LockKind kind, LockMode mode, const LockSpan& span) {
  if (kind == LockKind::kWhole) return ::flock(fd, flock_operation(mode));
  struct flock range = range_of(mode, span);
  return ::fcntl(fd, F_OFD_SETLK, &range);
}

}  // namespace

Result<void> set_lock_by_descriptor(int fd, LockKind kind, LockMode mode, const LockSpan& span) {
  if (set_lock(fd, kind, mode, span) == 0) return {};
  if (errno == EACCES) return Error(EAGAIN, "lock");
  // It may not be opened as this lock wants it.
  if (errno == EBADF) return Error(ENOLCK, "lock");
  return Error::from_errno("lock");
}

Result<std::optional<LockedRange>> find_lock_by_descriptor(int fd, LockMode mode,
                                                           const LockSpan& span) {
  struct flock range = range_of(mode, span);
  if (::fcntl(fd, F_OFD_GETLK, &range) != 0) return Error::from_errno("lock");
  if (range.l_type == F_UNLCK) return std::optional<LockedRange>();
  LockedRange found;
  found.mode = range.l_type == F_RDLCK ? LockMode::kShared : LockMode::kExclusive;
  found.span.first = static_cast<uint64_t>(range.l_start);
  if (range.l_len > 0) found.span.last = found.span.first + static_cast<uint64_t>(range.l_len) - 1;
  // Of a description it is -1.
  if (range.l_pid > 0) found.pid = static_cast<uint32_t>(range.l_pid);
  return std::optional(found);
}

}  // namespace netfs
