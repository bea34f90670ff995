#pragma once
// When a failed subrequest is tried again, and how long after.  Pure.
//
// What the origin answers about the file itself (ENOENT, EACCES, EISDIR...) is final.  Trouble of
// the way is tried again: after kBackOffFirst, twice as long each time up to kBackOffMax, with
// half of it left to chance so that many readers do not come back at one moment.  Other errors get
// kAttemptsMax attempts; while the origin cannot be reached (ENOTCONN and its like), or has no time
// now (EAGAIN), the request's deadline is the only bound, so that a reader lives through a
// re-connect.  EAGAIN is nothing to tell users: in the end it was ETIMEDOUT.  Nor is EBADF: it is
// said of the origin's handle, and theirs is good.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/error.h"
#include "base/result.h"

namespace netfs {

inline constexpr unsigned kAttemptsMax = 4;
inline constexpr Duration kBackOffFirst = std::chrono::milliseconds(20);
inline constexpr Duration kBackOffMax = std::chrono::seconds(2);

// Errors after which the origin's handle is worth nothing; connections are more than their handles
// where those outlive them (OriginCapabilities).
constexpr bool needs_reopen(int error, bool outlives_connections) {
  if (error == ESTALE || error == EBADF) return true;
  const bool lost =
      error == ENOTCONN || error == ECONNRESET || error == ECONNABORTED || error == EPIPE;
  return lost && !outlives_connections;
}

constexpr bool is_unreachable(int error) {
  return error == ENOTCONN || error == ECONNRESET || error == ECONNABORTED || error == EPIPE ||
         error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
         error == ENETDOWN || error == EHOSTDOWN;
}

constexpr bool is_retryable(int error) {
  switch (error) {
    case EIO:
    case EAGAIN:
    case EINTR:
    case EBUSY:
    case ETIMEDOUT:
    case ENOBUFS:
    case ENOMEM:
    case ESTALE:
    case EBADF:
      return true;
    default:
      return is_unreachable(error);
  }
}

// `failures`: attempts that failed so far, without progress between them; at least 1.
constexpr bool may_retry(int error, unsigned failures) {
  return is_unreachable(error) || error == EAGAIN ||
         (is_retryable(error) && failures < kAttemptsMax);
}

// What is answered when it is not tried again.
inline Error final_error(const Error& error) {
  switch (error.code()) {
    case EAGAIN:
      return {ETIMEDOUT, error.context(), error.detail()};
    case EBADF:
      return {EIO, error.context(), error.detail()};
    default:
      return error;
  }
}

// The same of a whole answer.
template <class T>
Result<T> final_answer(Result<T> answer) {
  if (answer.ok()) return answer;
  return final_error(answer.error());
}

// `chance`: any number, evenly spread.
constexpr Duration back_off(unsigned failures, uint64_t chance) {
  const unsigned doublings = std::min(failures > 0 ? failures - 1 : 0, 16U);
  const Duration full = std::min(Duration(kBackOffFirst.count() << doublings), kBackOffMax);
  const auto half = static_cast<uint64_t>(full.count() / 2);
  return Duration(static_cast<int64_t>(half + chance % (half + 1)));
}

// The next subrequests of a span that failed are half as long, down to a block.
constexpr uint64_t smaller_piece(uint64_t piece_bytes, uint64_t block_bytes) {
  return std::max(block_bytes, piece_bytes / 2 / block_bytes * block_bytes);
}

}  // namespace netfs
