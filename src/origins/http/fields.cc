#include "origins/http/fields.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace netfs::origins::http {

namespace {

// Servers send tags of some dozen bytes.
constexpr size_t kEntityTagMax = 1024;
constexpr int64_t kRetryAfterMax = 3600;

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

bool take(std::string_view& text, std::string_view what) {
  if (!text.starts_with(what)) return false;
  text.remove_prefix(what.size());
  return true;
}

// Exactly `count` digits.
std::optional<int> take_digits(std::string_view& text, size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

// Days from 1970-01-01 to a day of the Gregorian calendar.
int64_t days_to(int year, int month, int day) {
  static constexpr std::array<int, 12> kBefore = {0,   31,  59,  90,  120, 151,
                                                  181, 212, 243, 273, 304, 334};
  const int64_t past = year - 1;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  const int64_t year_begins = past * 365 + past / 4 - past / 100 + past / 400;
  constexpr int64_t kEpoch = 719162;  // the same sum of the years 1 to 1969
  return year_begins - kEpoch + kBefore[static_cast<size_t>(month - 1)] +
         (leap && month > 2 ? 1 : 0) + day - 1;
}

}  // namespace

std::optional<uint64_t> parse_length(std::string_view text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return value;
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!take(text, "bytes ")) return std::nullopt;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view range = text.substr(0, slash);
  const std::string_view total = text.substr(slash + 1);
  ContentRange result;
  if (total != "*") {
    result.total_bytes = parse_length(total);
    if (!result.total_bytes) return std::nullopt;
  }
  if (range == "*") return result.total_bytes ? std::optional(result) : std::nullopt;
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::optional<uint64_t> first = parse_length(range.substr(0, dash));
  const std::optional<uint64_t> last = parse_length(range.substr(dash + 1));
  if (!first || !last || *last < *first || *last == static_cast<uint64_t>(INT64_MAX)) {
    return std::nullopt;
  }
  if (result.total_bytes && *last >= *result.total_bytes) return std::nullopt;
  result.range = ByteRange{*first, *last - *first + 1};
  return result;
}

std::optional<int64_t> parse_http_date(std::string_view text) {
  const auto is_day = [&](std::string_view day) { return text.starts_with(day); };
  if (std::none_of(kDays.begin(), kDays.end(), is_day)) return std::nullopt;
  text.remove_prefix(3);
  if (!take(text, ", ")) return std::nullopt;
  const std::optional<int> day = take_digits(text, 2);
  if (!day || !take(text, " ")) return std::nullopt;
  const std::string_view month_name = text.substr(0, 3);
  const auto month = std::find(kMonths.begin(), kMonths.end(), month_name);
  if (month == kMonths.end()) return std::nullopt;
  text.remove_prefix(3);
  if (!take(text, " ")) return std::nullopt;
  const std::optional<int> year = take_digits(text, 4);
  if (!year || !take(text, " ")) return std::nullopt;
  const std::optional<int> hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const std::optional<int> minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const std::optional<int> second = take_digits(text, 2);
  if (!second || text != " GMT") return std::nullopt;
  // 60: a leap second.
  if (*year < 1 || *day < 1 || *day > 31 || *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  const int64_t days = days_to(*year, static_cast<int>(month - kMonths.begin()) + 1, *day);
  return days * 86400 + *hour * 3600 + *minute * 60 + *second;
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view text, int64_t now_seconds) {
  std::optional<int64_t> wait;
  if (const std::optional<uint64_t> seconds = parse_length(text)) {
    wait = static_cast<int64_t>(std::min<uint64_t>(*seconds, kRetryAfterMax));
  } else if (const std::optional<int64_t> when = parse_http_date(text)) {
    wait = *when - now_seconds;
  }
  if (!wait) return std::nullopt;
  return std::chrono::seconds(std::clamp<int64_t>(*wait, 0, kRetryAfterMax));
}

std::optional<EntityTag> parse_entity_tag(std::string_view text) {
  if (text.size() > kEntityTagMax) return std::nullopt;
  EntityTag tag{.text = std::string(text), .weak = text.starts_with("W/")};
  if (tag.weak) text.remove_prefix(2);
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::nullopt;
  for (const char c : text.substr(1, text.size() - 2)) {
    // It is sent back in a head of ours: no quote, blank or control character gets there.
    if (c == '"' || static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return std::nullopt;
  }
  return tag;
}

}  // namespace netfs::origins::http
