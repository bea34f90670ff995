#include "vfs/stored_beliefs.h"

#include <algorithm>
#include <chrono>

#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

Duration between(const Timestamp& from, const Timestamp& to) {
  constexpr int64_t kMost = std::chrono::duration_cast<std::chrono::seconds>(kLongAgo).count();
  const int64_t seconds =
      std::clamp(to.seconds, int64_t{0}, kMost) - std::clamp(from.seconds, int64_t{0}, kMost);
  return std::chrono::seconds(seconds) +
         Duration(static_cast<int64_t>(to.nanoseconds) - int64_t{from.nanoseconds});
}

}  // namespace

// A clock that was set back says too little: of the same start of the machine the other one knows
// better.  Of another start nobody does, but that it was before this one.
Seen seen_at(const NamesHead& head, const std::string& boot, const Clock& clock) {
  const MonoTime now = clock.now();
  const Duration by_wall = between(head.listed_at, clock.wall());
  const bool same_start = !head.boot.empty() && head.boot == boot;
  const Duration up = now.time_since_epoch() - Duration(same_start ? head.uptime_ns : 0);
  if (by_wall < Duration(0) || up < Duration(0)) return {.at = now - kLongAgo};
  return {.at = now - std::max(by_wall, up), .is_sure = same_start};
}

std::optional<MonoTime> counts_as(const Seen& seen, const NamesHead& head, const Options& options,
                                  MonoTime now, Old old) {
  if (believes_for_ever(options)) return head.for_ever ? seen.at : std::optional<MonoTime>();
  if (seen.is_sure && now - seen.at < options.metadata_ttl) return seen.at;
  switch (old) {
    case Old::kRefused:
      return {};
    // Not fresh, as what the memory has for too long: whoever shows it says for how long.
    case Old::kTaken:
    case Old::kShown:
      return std::min(seen.at, now - options.metadata_ttl);
  }
  return {};
}

bool is_of(const NamesHead& head, const Node& node, MonoTime seen) {
  if (head.identity != node.identity) return false;
  const bool as_it_was = head.validator == node.validator && head.mtime == node.attributes.mtime &&
                         head.ctime == node.attributes.ctime;
  return as_it_was || node.validated_at <= seen;
}

bool is_newest(const KeptNames& kept, uint32_t crc) {
  return !kept.swept_newer && !kept.outdated && (!kept.listed || kept.crc == crc);
}

bool asks_first(const Options& options) {
  return options.immutable || options.metadata_ttl >= kNamesTtlMin;
}

bool keeps_names(const Options& options) {
  return asks_first(options) || options.revalidate_behind || options.on_error == OnError::kStale;
}

}  // namespace netfs::vfs
