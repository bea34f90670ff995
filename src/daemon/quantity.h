#pragma once
// quantity: sizes and durations as people write them in options.  Pure.
//
// Sizes: a whole number of bytes with an optional suffix K, M, G or T (powers of 1024; "iB" may
// follow), or of a disk with '%'.  Durations: whole numbers with ms, s, m, h or d, also added up
// ("1m30s"); a bare number is seconds; "forever" is kForever.  Errors: EINVAL with a sentence that
// quotes the text, also for what does not fit.
//
//   parse_duration("7d").value()     // 604800 s

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace netfs::daemon {

inline constexpr Duration kForever = Duration::max();

// Bytes, or a share of the disk: exactly one is not 0.
struct DiskAmount {
  uint64_t bytes = 0;
  unsigned percent = 0;
  friend bool operator==(const DiskAmount&, const DiskAmount&) = default;
};

Result<uint64_t> parse_size(std::string_view text);
Result<DiskAmount> parse_disk_amount(std::string_view text);
Result<Duration> parse_duration(std::string_view text);
// Decimal, or octal where `base` is 8 (a leading 0 is fine); at most `max`.
Result<uint32_t> parse_number(std::string_view text, int base, uint32_t max);

// "1.5 GiB", "312 B": for people.
std::string format_bytes(uint64_t bytes);
// "1.25 s", "340 us": for people.
std::string format_duration(Duration duration);

}  // namespace netfs::daemon
