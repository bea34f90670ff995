#pragma once
// bandwidth: a limit of bandwidth as people write it.  Pure.
//
// "10M": so many bytes a second, each way; "1M:10M": to the origin and from it, as rclone has it;
// "off" in any place: no limit.  Suffixes are those of sizes.  Errors: EINVAL with a sentence; what
// is less than kBandwidthLeast is so slow that a mount would seem to hang.
//
//   parse_bandwidth("1M:off").value()   // Bandwidth{.up = 1 << 20, .down = 0}

#include <string>
#include <string_view>

#include "base/result.h"
#include "netfs/limited_origin.h"

namespace netfs::daemon {

inline constexpr uint64_t kBandwidthLeast = 32 << 10;

Result<Bandwidth> parse_bandwidth(std::string_view text);
// What parse_bandwidth() takes.
std::string bandwidth_words(const Bandwidth& bandwidth);
// "up 1.0 MiB/s, down unlimited": for people.
std::string format_bandwidth(const Bandwidth& bandwidth);

}  // namespace netfs::daemon
