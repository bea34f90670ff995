// The time that reads and writes of a LiveFile are held back by a limit of bandwidth is not the
// origin's: neither they nor who waits behind them are timed out for it.

#include <algorithm>
#include <optional>

#include "netfs/live_file.h"
#include "netfs/live_read.h"

namespace netfs {

void LiveFile::time_moved(LiveRead& request, size_t part, MonoTime until) {
  sync::MutexLock lock(mutex_);
  request.parts[part].until = until;
  if (until != MonoTime::max()) request.extend(until);
}

void LiveFile::time_moved(WriteRequest& request, size_t part, MonoTime until) {
  held_back_ = true;
  sync::MutexLock lock(mutex_);
  request.origin.parts[part].until = until;
  if (until != MonoTime::max()) request.extend(until);
}

// Of the parts on their way, the one that was at the origin first decides.
MonoTime LiveFile::waits_until(const LiveRead& request) const {
  sync::MutexLock lock(mutex_);
  std::optional<MonoTime> until;
  for (const LiveRead::Part& part : request.parts) {
    if (!part.in_flight || !part.until) continue;
    until = std::min(until.value_or(MonoTime::max()), *part.until);
  }
  return until.value_or(request.deadline);
}

MonoTime LiveFile::waits_until(const WriteRequest& request) const {
  sync::MutexLock lock(mutex_);
  const bool begun = !request.origin.parts.empty();
  const std::optional<MonoTime> until = begun ? request.origin.held_until() : held_until_locked();
  return until.value_or(request.deadline);
}

std::optional<MonoTime> LiveFile::held_until_locked() const {
  return held_back_ ? turns_.held_until() : std::nullopt;
}

std::optional<MonoTime> LiveFile::held_until() const {
  sync::MutexLock lock(mutex_);
  return held_until_locked();
}

}  // namespace netfs
