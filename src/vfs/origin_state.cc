// Whether the origin can be reached, as far as the last call of it tells, and what that means under
// each policy.

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "vfs/file_system.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// The origin did not say anything: nobody knows whether what we know still holds.
bool is_unreachable(int code) {
  switch (code) {
    case ENOTCONN:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EPIPE:
      return true;
    default:
      return false;
  }
}

// Errors by which a change was not begun.  Others may have come behind a change that was made: of a
// file that was made and could not be given its owner, or of an answer that made no sense.
bool proves_unchanged(int code) {
  constexpr int kProofs[] = {0,      ENOENT,  EEXIST,       ENOTDIR, EISDIR,    ENOTEMPTY,
                             ESTALE, ENODATA, ENAMETOOLONG, EXDEV,   EOPNOTSUPP};
  return std::find(std::begin(kProofs), std::end(kProofs), code) != std::end(kProofs);
}

}  // namespace

void FileSystem::note_outcome(int code) {
  if (!proves_unchanged(code)) unsure_at_ = clock_.now();
  if (is_unreachable(code)) {
    counters_.origin_errors.add();
    unreachable_until_ = clock_.now() + kUnreachableFor;
    return;
  }
  unreachable_until_ = MonoTime::min();
  if (code != 0 && code != ENOENT && code != ENOTDIR) counters_.origin_errors.add();
}

bool FileSystem::believed_unreachable() const {
  return clock_.now() < unreachable_until_.load();
}

bool FileSystem::should_wait(int code) const {
  return options_.on_error == OnError::kWait && is_unreachable(code) && !stopping_;
}

}  // namespace netfs::vfs
